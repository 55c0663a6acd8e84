//! What the guard costs: the judgement of an address as it is typed, and of all that its name has, with no name server
//! in between.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pawl::egress::{Egress, Exceptions, Guard, Limits, OdooUrl, Resolve};

const ROUNDS: u32 = 20;
const CALLS: u32 = 20_000;

/// The median of rounds, in microseconds a call.
fn median(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| call());
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

pub fn run() {
    let found: Vec<IpAddr> = ["8.8.8.8", "1.1.1.1", "2606:4700::1111"].map(|ip| ip.parse().unwrap()).to_vec();
    let guard = Guard::new(Exceptions::default()).resolving(Resolve::by(move |_| found.clone()));
    for (name, url) in [
        ("a plain host", "https://acme.odoo.com"),
        ("an international one", "https://żółw.example"),
        ("an inner address, refused", "https://0x7f.1"),
    ] {
        let took = median(|| drop(black_box(OdooUrl::parse(black_box(url), &guard, None))));
        println!("{name:>28}: {took:.2} µs");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = OdooUrl::parse("https://acme.odoo.com", &guard, None).unwrap();
    let egress = Egress::new(&guard, url, None, Limits::default()).unwrap();
    let took = runtime.block_on(async {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for _ in 0..CALLS {
                egress.judge(Duration::from_secs(5)).await.unwrap();
            }
            rounds.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
        }
        rounds.sort_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    });
    println!("{:>28}: {took:.2} µs", "three addresses, all public");
}
