//! kill -9 at any point, while people go on working in Odoo; then again, until a run comes to its end:
//! the sink holds what Odoo holds, field by field.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{Scene, code, errors};
use crate::standin::company::Company;
use crate::standin::wire::Value;
use crate::standin::{PASSWORD, StandIn, Transaction};

/// xorshift64*, Vigna 2016.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn one_of(&mut self, company: &Company, model: &str) -> i64 {
        let ids = company.ids(model);
        ids[self.below(ids.len())]
    }
}

/// What people do meanwhile. Some transactions take hours, and some never come to their end.
fn work(odoo: &StandIn, dice: &mut Dice, begun: &mut Vec<Transaction>) {
    for _ in 0..10 + dice.below(30) {
        let took = [1, 20, 20, 2_000][dice.below(4)];
        odoo.advance(Duration::from_secs(dice.below(took) as u64));
        let mut own = Dice(dice.0);
        match dice.below(6) {
            0 => {
                let mut later = odoo.begin();
                later.edit(move |company| change(company, &mut own));
                begun.push(later);
            }
            1 if !begun.is_empty() => begun.swap_remove(dice.below(begun.len())).commit(),
            2 if begun.len() > 3 => drop(begun.swap_remove(dice.below(begun.len()))),
            _ => odoo.edit(|company| change(company, &mut own)),
        }
    }
}

fn change(company: &mut Company, dice: &mut Dice) {
    let amount = Value::Float(dice.below(1_000_000) as f64 / 100.0);
    let (model, field, value) = match dice.below(9) {
        0 | 1 => ("account.move", "amount_residual", amount),
        2 | 3 => ("account.move.line", "price_unit", amount),
        4 => ("res.partner", "active", Value::Bool(false)),
        5 => ("account.move", "state", Value::text("draft")),
        6 => {
            let entry = company.record("account.move", dice.one_of(company, "account.move")).unwrap();
            let id = company.ids("account.move").last().unwrap() + 1;
            return company.insert("account.move", id, entry);
        }
        _ => {
            let model = ["account.move", "account.move.line"][dice.below(2)];
            return company.remove(model, dice.one_of(company, model));
        }
    };
    company.edit(model, dice.one_of(company, model), |record| {
        record.insert(field, value);
    });
    company.edit_undated("product.product", dice.one_of(company, "product.product"), |product| {
        product.insert("list_price", Value::Float(dice.below(1_000) as f64));
    });
}

/// `kills` of them, with a run to the end and a look after every few.
fn rounds(seed: u64, kills: usize) {
    let scene = Scene::new(Company::sized(seed, 1_100, 60), PASSWORD);
    let (mut dice, mut begun) = (Dice(0x9e37_79b9_7f4a_7c15 ^ seed), Vec::new());
    for kill in 1..=kills {
        // One that reads everything leaves more behind it that may change.
        let more: &[&str] = if dice.below(2) == 0 { &["--full"] } else { &[] };
        let mut worker = scene.spawn_with("books.db", more);
        let until = scene.odoo.seen().len() + dice.below(24);
        let moment = dice.below(400_000);
        while scene.odoo.seen().len() < until && worker.child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        (0..moment).for_each(|_| std::hint::spin_loop());
        if worker.child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_raw(worker.child.id() as i32).unwrap(), Signal::KILL).unwrap();
        }
        worker.child.wait().unwrap();
        work(&scene.odoo, &mut dice, &mut begun);
        if dice.below(2) == 0 || kill == kills {
            let output = scene.run("books.db");
            assert_eq!(code(&output), 0, "seed {seed}, kill {kill}: {}", errors(&output));
            scene.assert_same("books.db");
            assert_eq!(scene.open_leases(), 0, "seed {seed}, kill {kill}");
        }
    }
}

/// Attack on P10.
#[test]
fn kill_9_at_any_point_then_again_ends_right() {
    let (seeds, kills) = if std::env::var_os("TEST_LONG").is_some() { (10, 20) } else { (1, 8) };
    (1..=seeds).for_each(|seed| rounds(seed, kills));
}
