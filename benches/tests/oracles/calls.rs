//! Hostile calls, read by `dxr` as by Python: harmless ones, that say what was asked.

use serde_json::{Value as Json, json};

use crate::hostile_calls::{by_python, calls, is_harmless};
use crate::readers::of_dxr;

#[test]
fn no_input_puts_another_method_before_dxr() {
    let rounds = if std::env::var_os("TEST_LONG").is_some() { 20_000 } else { 1_000 };
    let (calls, refused) = calls(rounds, &mut 0xd);
    let python = by_python(calls.iter().map(|call| call.xml.as_slice()));
    assert_eq!(python.len() + refused, rounds);
    for (call, python) in calls.iter().zip(python) {
        let read = dxr::MethodCall::from_xml(std::str::from_utf8(&call.xml).unwrap()).unwrap();
        let params: Vec<Json> = read.params.iter().map(|param| untyped(&of_dxr(param))).collect();
        let read = json!([read.name, params]);
        assert!(is_harmless(&read), "{read}");
        assert_eq!(read, call.says);
        assert_eq!(python, call.says);
    }
}

/// As JSON has it, from what has its types spelt out.
fn untyped(tagged: &Json) -> Json {
    let inside = &tagged[1];
    match tagged[0].as_str().unwrap() {
        "int" => json!(inside.as_str().unwrap().parse::<i64>().unwrap()),
        "array" => inside.as_array().unwrap().iter().map(untyped).collect(),
        "struct" => {
            let members = inside.as_array().unwrap().iter();
            Json::Object(members.map(|m| (m[0].as_str().unwrap().to_owned(), untyped(&m[1]))).collect())
        }
        "text" | "bool" => inside.clone(),
        other => panic!("{other} in a call"),
    }
}
