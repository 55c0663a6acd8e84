use super::*;
use crate::audit::GENESIS;

#[derive(Clone)]
struct Event {
    seq: i64,
    event: Vec<u8>,
    prev: Vec<u8>,
    hash: Vec<u8>,
}

fn org() -> Option<OrgId> {
    OrgId::parse("acme").ok()
}

fn chain(length: i64) -> Vec<Event> {
    let mut head = GENESIS;
    (1..=length)
        .map(|seq| {
            let event = format!("{{\"n\":\"{seq}\"}}").into_bytes();
            let hash = link(org().as_ref(), seq, &head, &event);
            let made = Event { seq, event, prev: head.as_bytes().into(), hash: hash.as_bytes().into() };
            head = hash;
            made
        })
        .collect()
}

fn row(of: &Event) -> Row<'_> {
    Row { seq: of.seq, event: &of.event, prev_hash: &of.prev, hash: &of.hash }
}

/// As a file has them, in their order.
fn verdict(events: &[Event]) -> Option<Wrong> {
    let mut chain = Chain::after(org(), 0, GENESIS);
    let at = events.iter().position(|event| !chain.take(&row(event)))?;
    let mut inquest = Inquest::new(chain, Some(&row(&events[at])));
    events[at + 1..].iter().for_each(|event| inquest.look(&row(event)));
    Some(inquest.end())
}

/// As a database has them, by number.
fn stored(mut events: Vec<Event>) -> Option<Wrong> {
    events.sort_by_key(|event| event.seq);
    verdict(&events)
}

fn edited(edit: impl FnOnce(&mut Vec<Event>)) -> Vec<Event> {
    let mut events = chain(9);
    edit(&mut events);
    events
}

/// Attack on P4.
#[test]
fn the_first_event_that_is_not_as_it_was_is_named() {
    use Wrong::{Altered, Dropped, Inserted, Reordered};
    assert_eq!(verdict(&chain(9)), None);
    assert_eq!(verdict(&edited(|of| of[3].event[2] ^= 1)), Some(Altered(4)));
    assert_eq!(verdict(&edited(|of| of[3].hash[0] ^= 1)), Some(Altered(4)));
    assert_eq!(verdict(&edited(|of| of[3].prev[0] ^= 1)), Some(Altered(4)));
    assert_eq!(verdict(&edited(|of| of[0].prev[0] ^= 1)), Some(Altered(1)));
    assert_eq!(verdict(&edited(|of| of[3].hash.truncate(31))), Some(Altered(4)));
    assert_eq!(verdict(&edited(|of| of[3].seq = 40)), Some(Altered(4)));
    assert_eq!(verdict(&edited(|of| of[3].seq = 2)), Some(Altered(4)));
    assert_eq!(stored(edited(|of| of[3].seq = 40)), Some(Altered(4)));
    assert_eq!(stored(edited(|of| of[8].seq = 40)), Some(Altered(9)));
    assert_eq!(verdict(&edited(|of| drop(of.remove(3)))), Some(Dropped(4, 4)));
    assert_eq!(verdict(&edited(|of| drop(of.drain(..2)))), Some(Dropped(1, 2)));
    assert_eq!(verdict(&edited(|of| of.swap(2, 6))), Some(Reordered(3, 7)));
    assert_eq!(verdict(&edited(|of| of.swap(2, 3))), Some(Reordered(3, 4)));
    let swapped = edited(|of| {
        of.swap(2, 6);
        (of[2].seq, of[6].seq) = (3, 7);
    });
    assert_eq!(stored(swapped), Some(Reordered(3, 7)));
    assert_eq!(verdict(&edited(|of| of.insert(4, of[3].clone()))), Some(Inserted(4, 4)));
    assert_eq!(verdict(&edited(|of| of.insert(6, of[1].clone()))), Some(Inserted(2, 6)));
    assert_eq!(verdict(&edited(|of| of.insert(2, of[7].clone()))), Some(Inserted(8, 2)));
    assert_eq!(verdict(&edited(|of| of.push(of[8].clone()))), Some(Inserted(9, 9)));
    let stranger = |seq: i64, head: &[u8]| {
        let head = Hash::from_bytes(head).unwrap();
        let hash = link(org().as_ref(), seq, &head, b"evil");
        Event { seq, event: b"evil".to_vec(), prev: head.as_bytes().into(), hash: hash.as_bytes().into() }
    };
    // Whose hash fits, and whose does not.
    assert_eq!(verdict(&edited(|of| of.insert(4, stranger(5, &of[3].hash)))), Some(Inserted(5, 4)));
    assert_eq!(verdict(&edited(|of| of.insert(4, stranger(5, &of[2].hash)))), Some(Inserted(5, 4)));
    // Altered with its own hash made anew.
    assert_eq!(verdict(&edited(|of| of[4] = stranger(5, &of[3].hash))), Some(Altered(5)));
}
