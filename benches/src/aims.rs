//! What was promised of a lend beside the peers, held against what was measured: each round's figure by the other
//! side's of the same round.

use crate::peer::{CALLERS, Measured};
use crate::side::Side;
use crate::table;

/// What is held, with 64 callers.
#[derive(Clone, Copy)]
pub enum Aim {
    /// Of Pawl: the CPU a lend, its database's with it, by the hello's.
    Cpu(f64),
    /// Of a peer: Pawl's lends a second by its own.
    Lends(f64),
    /// Of the hello: its CPU is what Pawl's is held against.
    Yardstick,
}

/// What a lone caller may wait for beside one flush, in ms.
const BESIDE_A_FLUSH: f64 = 0.5;

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// By side and by number of callers, a figure a round.
type All = [Vec<Vec<Measured>>];

pub fn print(sides: &[Side], all: &All) {
    let mut rows = Vec::new();
    for (pawl, ours) in sides.iter().zip(all) {
        let Aim::Cpu(at_most) = pawl.aim else { continue };
        let mut hold =
            |what: &str, figures: &[Vec<f64>], bound| rows.push(row(&pawl.name, what, figures, bound));
        for (peer, theirs) in sides.iter().zip(all) {
            match peer.aim {
                Aim::Lends(at_least) => {
                    let ratios = by_round(ours, theirs, |our, their| our.lends / their.lends);
                    hold(&format!("lends/s by {}", peer.name), &ratios, Bound::AtLeast(at_least));
                }
                Aim::Yardstick => {
                    let ratios = by_round(ours, theirs, |our, their| (our.cpu + our.database) / their.cpu);
                    hold("CPU a lend by the hello's", &ratios, Bound::AtMost(at_most));
                }
                Aim::Cpu(_) => {}
            }
        }
        let beside = by_round(ours, ours, |our, _| (our.p50 - our.flush) / 1e3);
        hold("p50 beside one flush, ms", &beside[..1], Bound::AtMost(BESIDE_A_FLUSH));
    }
    let head = ["side", "what", "1 caller", "16 callers", "64 callers", "aim", "met"];
    table::print(&head, &rows);
}

/// For each number of callers, what `of` makes of the two sides' figures, round by round.
fn by_round(
    ours: &[Vec<Measured>],
    theirs: &[Vec<Measured>],
    of: impl Fn(&Measured, &Measured) -> f64,
) -> Vec<Vec<f64>> {
    let pairs = ours.iter().zip(theirs);
    pairs.map(|(ours, theirs)| ours.iter().zip(theirs).map(|(our, their)| of(our, their)).collect()).collect()
}

/// The last of the figures is held.
fn row(side: &str, what: &str, figures: &[Vec<f64>], bound: Bound) -> Vec<String> {
    let mut row = vec![side.to_owned(), what.to_owned()];
    row.extend((0..CALLERS.len()).map(|at| figures.get(at).map(|all| spread(all)).unwrap_or_default()));
    let held = table::median(figures[figures.len() - 1].clone());
    let (aim, is_met) = match bound {
        Bound::AtLeast(bound) => (format!("≥ {bound}"), held >= bound),
        Bound::AtMost(bound) => (format!("≤ {bound}"), held <= bound),
    };
    row.extend([aim, if is_met { "yes" } else { "NO" }.to_owned()]);
    row
}

/// The median, then from the least to the most.
fn spread(all: &[f64]) -> String {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    format!("{:.2} ({:.2}–{:.2})", table::median(all.to_vec()), sorted[0], sorted[sorted.len() - 1])
}
