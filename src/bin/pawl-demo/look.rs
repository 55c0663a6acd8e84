//! A look into files, past the programs that wrote them: the row as it is stored, the invoices as
//! they came home, and whether a secret is anywhere.

use std::io::Write;
use std::path::Path;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use pawl::ids::ConnectionId;

use crate::Failure;

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

/// Every column of the connection's row, with its value as text.
pub fn stored_row(database: &Path, id: &ConnectionId) -> Result<Vec<(String, String)>, Failure> {
    let mut db = SqliteConnection::establish(&database.to_string_lossy())?;
    let columns: Vec<OneText> =
        sql_query("SELECT name AS text FROM pragma_table_info('connections')").load(&mut db)?;
    let mut row = Vec::new();
    for column in columns.into_iter().filter_map(|column| column.text) {
        let value: OneText =
            sql_query(format!("SELECT CAST(\"{column}\" AS TEXT) AS text FROM connections WHERE id = ?"))
                .bind::<Text, _>(id.as_str())
                .get_result(&mut db)?;
        row.push((column, value.text.unwrap_or_else(|| "NULL".into())));
    }
    Ok(row)
}

const WIDTH: usize = 64;

/// Writes a column and its value, which may take several lines.
pub fn wrapped(out: &mut impl Write, column: &str, value: &str) -> Result<(), Failure> {
    let letters: Vec<char> = value.chars().collect();
    for (n, line) in letters.chunks(WIDTH).enumerate() {
        let column = if n == 0 { column } else { "" };
        writeln!(out, "  {column:<22} {}", line.iter().collect::<String>())?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Invoice {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Text)]
    day: String,
    #[diesel(sql_type = Double)]
    total: f64,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Text)]
    partner: String,
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Double)]
    total: f64,
}

/// The first of them, and what was invoiced in each currency.
pub fn invoices(out: &mut impl Write, sink: &Path) -> Result<(), Failure> {
    let mut db = SqliteConnection::establish(&sink.to_string_lossy())?;
    let first: Vec<Invoice> = sql_query(
        "SELECT coalesce(name, '(no number)') AS name, move_type AS kind, state, \
         coalesce(invoice_date, '') AS day, amount_total AS total, currency_id_name AS currency, \
         partner_id_name AS partner FROM account_move ORDER BY id LIMIT 12",
    )
    .load(&mut db)?;
    writeln!(
        out,
        "  {:<17} {:<12} {:<7} {:<11} {:>12} {:<4} partner",
        "number", "type", "state", "date", "total", ""
    )?;
    for Invoice { name, kind, state, day, total, currency, partner } in first {
        let total = amount(total, &currency);
        // The name comes last: some letters take two places on a terminal.
        writeln!(out, "  {name:<17} {kind:<12} {state:<7} {day:<11} {total:>12} {currency:<4} {partner}")?;
    }
    let totals: Vec<Total> = sql_query(
        "SELECT currency_id_name AS currency, count(*) AS count, sum(amount_total) AS total FROM account_move \
         WHERE move_type = 'out_invoice' AND state = 'posted' GROUP BY currency_id_name ORDER BY currency_id_name",
    )
    .load(&mut db)?;
    writeln!(out, "  …\n\n  posted customer invoices")?;
    for Total { currency, count, total } in totals {
        writeln!(out, "  {currency:<4} {count:>5} {:>16}", amount(total, &currency))?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = Double)]
    quantity: f64,
    #[diesel(sql_type = Double)]
    price: f64,
    #[diesel(sql_type = Double)]
    subtotal: f64,
    #[diesel(sql_type = Text)]
    currency: String,
}

/// One of them with what was sold, joined by the ids that Odoo gave.
pub fn lines(out: &mut impl Write, sink: &Path) -> Result<(), Failure> {
    let mut db = SqliteConnection::establish(&sink.to_string_lossy())?;
    let lines: Vec<Line> = sql_query(
        "SELECT coalesce(p.name, l.name, '') AS text, l.quantity, l.price_unit AS price, \
         l.price_subtotal AS subtotal, l.currency_id_name AS currency \
         FROM account_move_line AS l LEFT JOIN product_product AS p ON p.id = l.product_id \
         WHERE l.display_type = 'product' AND l.move_id = (SELECT min(move_id) FROM account_move_line) \
         ORDER BY l.sequence, l.id",
    )
    .load(&mut db)?;
    writeln!(
        out,
        "\n  {:<40} {:>9} {:>12} {:>12}",
        "what the first is for", "quantity", "price", "subtotal"
    )?;
    for Line { text, quantity, price, subtotal, currency } in lines {
        let (price, subtotal) = (amount(price, &currency), amount(subtotal, &currency));
        let text: String = text.chars().take(40).collect();
        writeln!(out, "  {text:<40} {quantity:>9} {price:>12} {subtotal:>12} {currency}")?;
    }
    Ok(())
}

/// Yen has no decimals.
fn amount(amount: f64, currency: &str) -> String {
    if currency == "JPY" { format!("{amount:.0}") } else { format!("{amount:.2}") }
}

/// What a search went through.
#[derive(Default)]
pub struct Searched {
    /// How many files.
    pub files: usize,
    /// How many bytes.
    pub bytes: usize,
    /// How many of the files hold what was looked for.
    pub holding: usize,
}

/// Looks for `text` in every file under `folder`.
pub fn search(folder: &Path, text: &str) -> Result<Searched, Failure> {
    let mut searched = Searched::default();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let inner = search(&path, text)?;
            searched.files += inner.files;
            searched.bytes += inner.bytes;
            searched.holding += inner.holding;
            continue;
        }
        let bytes = std::fs::read(&path)?;
        searched.holding += usize::from(bytes.windows(text.len()).any(|window| window == text.as_bytes()));
        searched.files += 1;
        searched.bytes += bytes.len();
    }
    Ok(searched)
}
