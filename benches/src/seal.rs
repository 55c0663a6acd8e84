//! How fast values are sealed and opened, each under a key of its own: by Pawl, by Python's `cryptography`
//! doing the same, and by the same Python with one key for all, as it is usually used.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use pawl::clock::Moment;
use pawl::ids::{IssuerKeyId, KeyId};
use pawl::seal::{Binding, Keyring, MasterKey};
use pawl::secret::Secret;

use crate::table;
use crate::vault::SECRET;

const VALUES: u32 = 20_000;
const ROUNDS: usize = 9;

/// Microseconds a value: to seal it and to open it.
type Took = [f64; 2];

pub fn run() {
    let id = KeyId::parse("k1").unwrap();
    let keys = BTreeMap::from([(id.to_string(), MasterKey::generate().unwrap())]);
    let ring = Keyring::new(id, keys).unwrap();
    let mut python = [Python::start("each"), Python::start("one")];
    let mut all: [Vec<Took>; 3] = Default::default();
    for round in 0..=ROUNDS {
        let took = [by_pawl(&ring), python[0].take(), python[1].take()];
        // the first round warms up
        if round > 0 {
            all.iter_mut().zip(took).for_each(|(all, one)| all.push(one));
        }
    }
    let names = ["pawl", "Python's cryptography, HKDF for each", "Python's cryptography, one key"];
    let medians = all.map(|all| [0, 1].map(|of| table::median(all.iter().map(|took| took[of]).collect())));
    let rows: Vec<Vec<String>> = names
        .iter()
        .zip(&medians)
        .map(|(name, took)| {
            let mut row = vec![(*name).to_owned()];
            for of in [0, 1] {
                row.push(format!("{:.0}", 1e6 / took[of]));
                row.push(format!("{:.1}", took[of] / medians[0][of]));
            }
            row
        })
        .collect();
    println!("{VALUES} values of {} bytes a round, medians of {ROUNDS} rounds, one thread\n", SECRET.len());
    table::print(
        &["by", "sealed a second", "pawl is faster by", "opened a second", "pawl is faster by"],
        &rows,
    );
}

fn by_pawl(ring: &Keyring) -> Took {
    let secret = Secret::new(SECRET.to_owned());
    let ids: Vec<IssuerKeyId> =
        (0..VALUES).map(|n| IssuerKeyId::new(Moment::from_micros(i64::from(n))).unwrap()).collect();
    let begun = Instant::now();
    let sealed: Vec<_> = ids.iter().map(|id| ring.seal(&Binding::issuer_key(id), &secret).unwrap()).collect();
    let took = begun.elapsed();
    let begun = Instant::now();
    for (id, sealed) in ids.iter().zip(&sealed) {
        assert!(black_box(ring.open(&Binding::issuer_key(id), sealed)).is_ok());
    }
    [took, begun.elapsed()].map(|took| took.as_secs_f64() * 1e6 / f64::from(VALUES))
}

/// A process that seals and opens whenever it is told to.
struct Python {
    child: Child,
    said: BufReader<ChildStdout>,
}

const SEALER: &str = "
import base64, os, sys, time
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
each, count, secret = sys.argv[1] == 'each', int(sys.argv[2]), sys.argv[3].encode()
master = os.urandom(32)
one = Fernet(base64.urlsafe_b64encode(master))
def key(place):
    if not each:
        return one
    row = HKDF(SHA256(), 32, None, b'pawl/v1 issuer_key iss_01ARZ3NDEKTSV4RRFFQ69G5FAV %d' % place).derive(master)
    return Fernet(base64.urlsafe_b64encode(row))
while sys.stdin.buffer.readline():
    begun = time.perf_counter()
    sealed = [key(place).encrypt(secret) for place in range(count)]
    between = time.perf_counter()
    for place, token in enumerate(sealed):
        assert key(place).decrypt(token) == secret
    print((between - begun) * 1e6 / count, (time.perf_counter() - between) * 1e6 / count, flush=True)
";

impl Python {
    fn start(how: &str) -> Self {
        let venv = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-venv/bin/python");
        let python = if venv.is_file() { venv } else { "python3".into() };
        let mut child = Command::new(python)
            .args(["-c", SEALER, how, &VALUES.to_string(), SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn take(&mut self) -> Took {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let (seal, open) = line.trim_end().split_once(' ').expect("cryptography is missing: ./test --setup");
        [seal.parse().unwrap(), open.parse().unwrap()]
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
