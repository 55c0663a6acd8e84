//! kill -9 at any point, while people go on working in Odoo; then again, until a run comes to its end:
//! the sink holds what Odoo holds, field by field.

use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{Scene, code, errors};
use crate::standin::PASSWORD;
use crate::standin::company::Company;
use crate::standin::time::{SECOND, START};
use crate::standin::wire::{EMPTY, Value};

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

/// What people do meanwhile.
fn work(company: &mut Company, dice: &mut Dice, now: &mut i64) {
    for _ in 0..dice.below(6) {
        *now += dice.below(40) as i64 * SECOND + dice.below(1_000_000) as i64;
        // Some transactions take long: what they write is dated when they began.
        let took = [0, 0, 0, 1, 30, 300][dice.below(6)] * 60 * SECOND;
        company.begin(*now - took);
        let amount = Value::Float(dice.below(1_000_000) as f64 / 100.0);
        match dice.below(8) {
            0 | 1 => {
                let id = dice.one_of(company, "account.move");
                company.edit("account.move", id, |entry| {
                    entry.insert("amount_residual", amount);
                });
            }
            2 => {
                let id = dice.one_of(company, "account.move.line");
                company.edit("account.move.line", id, |line| {
                    line.insert("price_unit", amount);
                });
            }
            3 => {
                let id = dice.one_of(company, "account.move");
                company.remove("account.move", id);
            }
            4 => {
                let id = dice.one_of(company, "account.move.line");
                company.remove("account.move.line", id);
            }
            5 => {
                let like = dice.one_of(company, "account.move");
                let entry = company.record("account.move", like).unwrap();
                company.insert("account.move", 50_000 + *now % 40_000, entry);
            }
            6 => {
                let id = dice.one_of(company, "res.partner");
                company.edit("res.partner", id, |partner| {
                    partner.insert("active", Value::Bool(false));
                    partner.insert("email", EMPTY);
                });
            }
            _ => {
                let id = dice.one_of(company, "product.product");
                company.edit_undated("product.product", id, |product| {
                    product.insert("list_price", amount);
                });
            }
        }
    }
}

/// `kills` of them, with a run to the end and a look after every few.
fn rounds(seed: u64, kills: usize) {
    let scene = Scene::new(Company::sized(seed, 1_100, 60), PASSWORD);
    let (mut dice, mut now) = (Dice(0x9e37_79b9_7f4a_7c15 ^ seed), START);
    for kill in 1..=kills {
        let mut worker = scene.spawn("books.db");
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
        scene.odoo.edit(|company| work(company, &mut dice, &mut now));
        if kill % 4 == 0 || kill == kills {
            let output = scene.run("books.db");
            assert_eq!(code(&output), 0, "seed {seed}, kill {kill}: {}", errors(&output));
            scene.assert_same("books.db");
            assert_eq!(scene.open_leases(), 0, "seed {seed}, kill {kill}");
        }
    }
}

#[test]
fn kill_9_at_any_point_then_again_ends_right() {
    let (seeds, kills) = if std::env::var_os("TEST_LONG").is_some() { (10, 20) } else { (1, 8) };
    (1..=seeds).for_each(|seed| rounds(seed, kills));
}
