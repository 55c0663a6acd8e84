//! What leaves, whatever goes in: logins and reads, and in them exactly what was asked.

use pawl::odoo::xmlrpc::{Login, XmlError, authenticate, execute};
use pawl::odoo::{
    Address, DialectName, Domain, Odoo, OdooError, Operand, Operator, Order, ReadQuery, Readable,
};
use pawl::secret::Secret;
use serde_json::json;

use crate::dialects::{only, password};
use crate::hostile_calls::{by_python, calls, is_harmless, query, text};
use crate::odoo_wire::{egress, serve, wait, whole};
use crate::xml_answers::{body_of, random};

fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("TEST_LONG").is_some() { long } else { short }
}

/// Whatever goes into the functions that write a call: an independent reader finds one call of one of
/// two methods, and in it the very texts that went in.
/// Attack on P6.
#[test]
fn no_input_puts_another_method_on_the_wire() {
    let rounds = rounds(2_000, 50_000);
    let (calls, refused) = calls(rounds, &mut 0xbad);
    let read = by_python(calls.iter().map(|call| call.xml.as_slice()));
    assert_eq!(read.len() + refused, rounds);
    assert!(refused > rounds / 50 && refused < rounds / 2, "{refused} of {rounds} refused");
    for (call, read) in calls.iter().zip(read) {
        assert!(is_harmless(&read), "{read}");
        assert_eq!(read, call.says);
    }
}

/// Each character there is up to U+02FF, and those around every edge beyond, on its own in every
/// place for a text: carried as it is, or refused.
/// Attack on P6.
#[test]
fn every_character_is_carried_as_it_is_or_refused() {
    let beyond = [0x2028, 0xd7ff, 0xe000, 0xfdd0, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x10_ffff];
    let moves = Readable::embedded().unwrap().model("account.move").unwrap();
    let (mut written, mut expected, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for c in (0..0x300).chain(beyond).map(|c| char::from_u32(c).unwrap()) {
        let one = format!("a{c}");
        for at in 0..3 {
            let [database, secret, third] =
                [0, 1, 2].map(|place| if place == at { one.clone() } else { "plain".to_owned() });
            let kept = Secret::new(secret.clone());
            let login = Login { database: &database, secret: &kept };
            let query = ReadQuery::SearchRead {
                domain: Domain::all(&moves)
                    .and("ref", Operator::Equal, Operand::Text(third.clone()))
                    .unwrap(),
                fields: moves.fields(&["name"]).unwrap(),
                order: Order::IdAscending,
                offset: 0,
                limit: 1.try_into().unwrap(),
                archived: false,
            };
            match (authenticate(&login, &third), execute(&login, 2, &query)) {
                (Ok(first), Ok(second)) => {
                    written.extend([first.to_vec(), second.to_vec()]);
                    expected.extend([json!([database, third, secret]), json!([database, third, secret])]);
                }
                (Err(XmlError::Unspeakable), Err(XmlError::Unspeakable)) => refused.push(c),
                _ => panic!("{c:?} is taken by one and not by the other"),
            }
        }
    }
    let read = by_python(written.iter().map(Vec::as_slice));
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.iter().zip(expected) {
        assert!(is_harmless(read), "{read}");
        let third = if read[0] == "authenticate" { &read[1][1] } else { &read[1][5][0][0][2] };
        assert_eq!(json!([read[1][0], third, read[1][2]]), expected);
    }
    let controls = (0..0x20).filter(|c| ![0x9, 0xa, 0xd].contains(c)).chain([0xfffe, 0xffff]);
    let unspeakable: Vec<char> = controls.map(|c| char::from_u32(c).unwrap()).flat_map(|c| [c; 3]).collect();
    assert_eq!(refused, unspeakable);
}

/// Names come from the policy's file or not at all, and a model's only with its own.
/// Attack on P6.
#[test]
fn no_input_makes_a_name_readable() {
    let readable = Readable::embedded().unwrap();
    let names = readable.model_names();
    let mut seed = 0xfee1_u64;
    for _ in 0..rounds(5_000, 200_000) {
        let mut name = text(&mut seed);
        match random(&mut seed, 4) {
            0 => name.insert_str(0, &names[random(&mut seed, names.len() as u64) as usize]),
            1 => name.insert_str(0, "name"),
            2 => name.push_str("id"),
            _ => {}
        }
        assert_eq!(readable.model(&name).is_ok(), names.contains(&name), "{name:?}");
        for model in names.iter().map(|model| readable.model(model).unwrap()) {
            let is_field = model.all().iter().any(|field| field.name() == name);
            assert_eq!(model.fields(&[&name]).is_ok(), is_field, "{name:?}");
            let condition = Domain::all(&model).and(&name, Operator::Equal, Operand::Empty);
            assert_eq!(condition.is_ok(), is_field || name == "id", "{name:?}");
        }
    }
    for near in ["Account.move", "account.move ", "account.move\0", "account.move/write", "res.users", ""] {
        assert!(readable.model(near).is_err(), "{near:?}");
    }
    for near in ["Name", "name ", "name\n", "line_ids.parent_id", "parent_id", "access_token", "*", ""] {
        let moves = readable.model("account.move").unwrap();
        assert!(moves.fields(&[near]).is_err(), "{near:?}");
        assert!(moves.fields(&["name", near]).is_err(), "{near:?}");
        assert!(Domain::all(&moves).and(near, Operator::Equal, Operand::Empty).is_err(), "{near:?}");
    }
}

/// `parent_id` may be read of a partner: that is no leave to ask for it in another model's call.
/// Attack on P6.
#[test]
fn a_domain_of_one_model_is_not_asked_of_another() {
    let readable = Readable::embedded().unwrap();
    let secret = Secret::new("s".into());
    let login = Login { database: "d", secret: &secret };
    let names = readable.model_names();
    for (one, other) in names.iter().flat_map(|one| names.iter().map(move |other| (one, other))) {
        let query = ReadQuery::SearchRead {
            domain: Domain::all(&readable.model(one).unwrap())
                .and("id", Operator::Equal, Operand::Int(1))
                .unwrap(),
            fields: readable.model(other).unwrap().all(),
            order: Order::IdAscending,
            offset: 0,
            limit: 1.try_into().unwrap(),
            archived: false,
        };
        let expected = if one == other { None } else { Some(XmlError::OtherModel) };
        assert_eq!(execute(&login, 1, &query).err(), expected, "{one} {other}");
    }
    assert_eq!(OdooError::from(XmlError::OtherModel), OdooError::QueryRefused);
}

/// The client itself, let in whatever it calls itself: each connection carries one request, to one of
/// two paths, with one harmless call.
/// Attack on P6.
#[test]
fn no_input_makes_a_logged_in_client_say_another_call() {
    let readable = Readable::embedded().unwrap();
    let names = readable.model_names();
    let mut seed = 0xc1_u64;
    let (mut bodies, mut unspeakable) = (Vec::new(), 0);
    for _ in 0..rounds(60, 1_000) {
        let answers = ["xml-auth-ok", "xml-err-missing-record", "xml-err-missing-record"];
        let served = serve(answers.map(|name| whole(name, "response")).to_vec());
        let address = Address { database: text(&mut seed), username: text(&mut seed) };
        let credential = password(&text(&mut seed));
        let servers = only(DialectName::XmlRpc, &served.url, &address.database);
        wait(async {
            let odoo = match Odoo::login(egress(&served.url), address, credential, &servers).await {
                Ok(odoo) => odoo,
                Err(error) => {
                    assert_eq!(error.cause, OdooError::Unspeakable);
                    unspeakable += 1;
                    return;
                }
            };
            for _ in 0..2 {
                let model = &names[random(&mut seed, names.len() as u64) as usize];
                let (query, _, _) = query(&readable.model(model).unwrap(), &mut seed);
                match odoo.fetch(&query).await {
                    Ok(records) => assert!(records.is_empty()),
                    Err(error) => assert_eq!(error, OdooError::Unspeakable),
                }
            }
        });
        for (at, request) in served.requests.lock().unwrap().iter().enumerate() {
            let head = request.strip_suffix(body_of(request)).unwrap();
            let head = std::str::from_utf8(head).unwrap().to_lowercase();
            let path = if at == 0 { "common" } else { "object" };
            assert!(head.starts_with(&format!("post /xmlrpc/2/{path} http/1.1\r\n")), "{head}");
            assert_eq!(
                head.matches("\r\n").count(),
                head.lines().filter(|line| line.contains(':')).count() + 2
            );
            assert!(head.contains(&format!("content-length: {}\r\n", body_of(request).len())), "{head}");
            bodies.push(body_of(request).to_vec());
        }
    }
    let read = by_python(bodies.iter().map(Vec::as_slice));
    assert!(read.len() == bodies.len() && read.len() > 60 && unspeakable > 0, "{}", read.len());
    assert!(read.iter().all(is_harmless));
}
