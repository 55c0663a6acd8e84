//! What is printed: a table of medians, each beside its ratio to the first row.

/// The middle one.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Prints `rows` under `head`, in Markdown.
pub fn print(head: &[&str], rows: &[Vec<String>]) {
    let width = |at: usize| {
        rows.iter().map(|row| row[at].chars().count()).chain([head[at].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |"));
        println!("|{}", padded.collect::<String>());
    };
    line(head.to_vec());
    println!("|{}", widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}
