//! Pawl beside its peers, in one run and on one machine: what it prints are medians of interleaved
//! rounds and the ratios between them. `benches/README.md` says what each part measures.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that can't run says why and ends")]

mod aims;
mod cpu;
mod disk;
mod fastapi;
mod guard;
mod hello;
mod inject;
mod install;
mod kv;
mod lanes;
mod lend;
mod load;
mod page;
mod parse;
mod peer;
mod postgres;
mod pull;
mod reseal;
mod seal;
mod side;
mod table;
mod tokens;
mod vault;
mod verify;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("parse") => parse::run(),
        Some("pull") => pull::run(),
        Some("lend") => lend::run(),
        Some("lanes") => lanes::run(),
        Some(lanes::VERB) => lanes::serve(),
        Some("peer") => peer::run(),
        Some(hello::VERB) => hello::serve(),
        Some("seal") => seal::run(),
        Some("reseal") => reseal::run(),
        Some("tokens") => tokens::run(),
        Some("trail") => verify::run(),
        Some("guard") => guard::run(),
        Some("inject") => inject::run(),
        _ => eprintln!(
            "usage: cargo run --release -p pawl-bench -- parse | pull | lend | lanes | peer | seal | reseal | tokens | trail | guard | inject"
        ),
    }
}
