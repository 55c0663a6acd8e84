//! `/docs`, as a browser gets it.

use std::collections::BTreeSet;

use crate::harness::{Vault, call};

fn between<'a>(page: &'a str, before: &str) -> BTreeSet<&'a str> {
    page.split(before).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn it_shows_every_call_and_needs_nothing_from_elsewhere() {
    let vault = Vault::start();
    let answer = call(&vault.url, "GET", "/docs", "", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = &answer.body;
    for never in ["<script", "<img", "<link", "<iframe", "src=", "@import", "url(", "javascript:"] {
        assert!(!page.contains(never), "{never}");
    }
    let (ids, links) = (between(page, "id=\""), between(page, "href=\""));
    for link in &links {
        let here = link.strip_prefix('#').is_some_and(|id| ids.contains(id));
        assert!(here || *link == "/openapi.json", "{link} leads nowhere");
    }
    let document = call(&vault.url, "GET", "/openapi.json", "", None).json;
    let mut calls = 0;
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.contains(id) && links.contains(format!("#{id}").as_str()), "{id}");
            for status in operation["responses"].as_object().unwrap().keys() {
                assert!(page.contains(&format!("<code>{status}</code>")), "{id} {status}");
            }
            calls += 1;
        }
    }
    assert!(calls > 14, "{calls}");
    for shape in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(ids.contains(format!("shape-{shape}").as_str()), "{shape}");
    }
    assert!(page.contains("urn:pawl:problem:"), "what a problem is");
}
