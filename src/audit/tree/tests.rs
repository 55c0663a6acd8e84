//! The tree against the reference trees of RFC 6962's authors, and against the definition taken literally.

use std::collections::BTreeMap;

use super::*;

/// The leaves that every implementation is tested with, and the roots of the first 1, 2, … of them.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// `MTH`, `PATH` and `PROOF` as RFC 9162 section 2.1 defines them.
mod literal {
    use super::*;

    fn k(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }

    pub fn root(d: &[Hash]) -> Hash {
        match d {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => node_hash(&root(&d[..k(d.len())]), &root(&d[k(d.len())..])),
        }
    }

    pub fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
        if d.len() <= 1 {
            return Vec::new();
        }
        let (left, right) = d.split_at(k(d.len()));
        let (mut path, other) = if m < left.len() {
            (path(m, left), root(right))
        } else {
            (path(m - left.len(), right), root(left))
        };
        path.push(other);
        path
    }

    pub fn proof(m: usize, d: &[Hash], is_whole: bool) -> Vec<Hash> {
        if m == d.len() {
            return if is_whole { Vec::new() } else { vec![root(d)] };
        }
        let (left, right) = d.split_at(k(d.len()));
        let (mut proof, other) = if m <= left.len() {
            (proof(m, left, is_whole), root(right))
        } else {
            (proof(m - left.len(), right, false), root(left))
        };
        proof.push(other);
        proof
    }
}

/// The nodes of a log that grew leaf by leaf, and its root at each size.
fn grow(leaves: &[Hash]) -> (BTreeMap<Node, Hash>, Vec<Hash>) {
    let mut frontier = Frontier::of(0, |_| None).unwrap();
    let (mut nodes, mut roots) = (BTreeMap::new(), vec![frontier.root()]);
    for leaf in leaves {
        for (node, hash) in frontier.append(*leaf) {
            assert!(nodes.insert(node, hash).is_none(), "{node:?} was whole before");
        }
        roots.push(frontier.root());
        // What is kept is enough to go on after a new start.
        frontier = Frontier::of(frontier.size(), |node| nodes.get(&node).copied()).unwrap();
    }
    (nodes, roots)
}

#[test]
fn the_reference_trees_have_their_known_roots() {
    let leaves: Vec<Hash> = LEAVES.iter().map(|hex| leaf_hash(&bytes(hex))).collect();
    let (_, roots) = grow(&leaves);
    assert_eq!(roots[0].to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let roots: Vec<String> = roots.iter().skip(1).map(ToString::to_string).collect();
    assert_eq!(roots, ROOTS);
    let proof = Plan::consistency(6, 8).hashes(|node| grow(&leaves).0.get(&node).copied()).unwrap();
    let proof: Vec<String> = proof.iter().map(ToString::to_string).collect();
    assert_eq!(
        proof,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn every_proof_is_the_literal_one_and_no_other_is_believed() {
    const MOST: usize = 70;
    let leaves: Vec<Hash> = (0..MOST).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let (nodes, roots) = grow(&leaves);
    let found = |node: Node| nodes.get(&node).copied();
    let size = |n: usize| u64::try_from(n).unwrap();
    for n in 0..=MOST {
        let (whole, root) = (&leaves[..n], &roots[n]);
        assert_eq!(*root, literal::root(whole));
        assert_eq!(Plan::root(size(n)).hashes(found).unwrap(), if n == 0 { vec![] } else { vec![*root] });
        for m in 0..n {
            let proof = Plan::inclusion(size(m), size(n)).hashes(found).unwrap();
            assert_eq!(proof, literal::path(m, whole), "{m} in {n}");
            assert!(verify_inclusion(&leaves[m], size(m), size(n), &proof, root), "{m} in {n}");
            for (leaf, at, of) in [(m ^ 1, m, n), (m, m + 1, n), (m, m, m), (m, n, n)] {
                if leaf < MOST {
                    assert!(!verify_inclusion(&leaves[leaf], size(at), size(of), &proof, root), "{m} in {n}");
                }
            }
            for wrong in spoilt(&proof) {
                assert!(!verify_inclusion(&leaves[m], size(m), size(n), &wrong, root), "{m} in {n}");
            }
        }
        for (m, old) in roots[..=n].iter().enumerate() {
            let proof = Plan::consistency(size(m), size(n)).hashes(found).unwrap();
            if m > 0 {
                assert_eq!(proof, literal::proof(m, whole, true), "{m} to {n}");
            }
            assert!(verify_consistency(size(m), size(n), old, root, &proof), "{m} to {n}");
            for wrong in spoilt(&proof) {
                assert!(!verify_consistency(size(m), size(n), old, root, &wrong), "{m} to {n}");
            }
            let other = leaf_hash(b"other");
            assert!(!verify_consistency(size(m), size(n), &other, root, &proof), "{m} to {n}");
            if m > 0 {
                assert!(!verify_consistency(size(m), size(n), old, &other, &proof), "{m} to {n}");
            }
            assert!(m == n || !verify_consistency(size(n), size(m), root, old, &proof), "{n} to {m}");
        }
    }
    assert_eq!(Plan::inclusion(5, 5).nodes().count(), 0);
    assert_eq!(Plan::consistency(6, 5).nodes().count(), 0);
    assert_eq!(Plan::inclusion(3, 70).hashes(|_| None), None);
}

/// A hash changed, one dropped, one more at either end, the last two swapped.
fn spoilt(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at].0[31] ^= 1;
        all.push(changed);
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        all.push(shorter);
    }
    for at in [0, proof.len()] {
        let mut longer = proof.to_vec();
        longer.insert(at, leaf_hash(b"more"));
        all.push(longer);
    }
    if let [.., _, _] = proof {
        let mut swapped = proof.to_vec();
        swapped.rotate_left(1);
        all.push(swapped);
    }
    all
}

/// Numbers as hostile as they can be neither overflow nor take long.
#[test]
fn the_largest_numbers_are_judged_at_once() {
    let hash = leaf_hash(b"x");
    assert!(!verify_inclusion(&hash, u64::MAX - 1, u64::MAX, &[hash; 100], &hash));
    assert!(!verify_inclusion(&hash, u64::MAX, u64::MAX, &[], &hash));
    assert!(!verify_consistency(u64::MAX - 1, u64::MAX, &hash, &hash, &[hash; 100]));
    assert!(!verify_consistency(1 << 63, u64::MAX, &hash, &hash, &[hash]));
    assert_eq!(Plan::inclusion(u64::MAX - 1, u64::MAX).0.len(), 63);
    assert!(Plan::consistency(u64::MAX - 1, u64::MAX).nodes().count() > 60);
}
