//! The newcomer's tour; being built.

mod standin;

fn main() {}
