use super::*;

/// Attack on P6.
#[test]
fn nothing_is_readable_but_what_the_file_names() {
    let readable = Readable::embedded().unwrap();
    assert_eq!(
        readable.model_names(),
        [
            "account.move",
            "account.move.line",
            "res.partner",
            "product.product",
            "res.currency",
            "account.tax"
        ]
    );
    for check_alone in ["res.users", "res.groups", "ir.model.access", "res.users.apikeys"] {
        assert!(readable.model(check_alone).is_err());
        assert!(CheckOnly::embedded().unwrap().model(check_alone).is_ok());
    }
    let lines = readable.model("account.move.line").unwrap();
    assert!(lines.fields(&["parent_id"]).is_err());
    assert!(lines.fields(&["move_id.move_type"]).is_err(), "a path is for conditions alone");
    assert!(lines.condition_on("move_id.move_type").is_ok());
    for path in ["move_id.state", "move_id", "id", "move_id.move_type.x", "parent_id", "parent_id.id"] {
        assert_eq!(lines.condition_on(path).is_ok(), matches!(path, "move_id" | "id"), "{path}");
    }
    assert_eq!(readable.all_names().len(), 10);
    assert_eq!(lines.refers_to("move_id"), Some("account.move"));
    assert_eq!(lines.refers_to("account_id"), None);
    let moves = readable.model("account.move").unwrap();
    assert!(moves.fields(&["name", "write_date"]).is_ok());
    assert!(moves.fields(&["name", "access_token"]).is_err());
    assert!(moves.fields(&[]).is_err());
}

/// Attack on P6.
#[test]
fn a_policy_that_would_write_or_name_nothing_is_refused() {
    let line = |field: &str| {
        format!("[[model]]\nname = \"account.move.line\"\n[model.fields]\n{field} = \"many2one\"")
    };
    assert!(Readable::parse(&line("move_id")).is_ok());
    assert!(matches!(Readable::parse(&line("parent_id")), Err(ReadableRefused::ReadWrites(..))));
    let path = |path: &str| {
        format!(
            "[[model]]\nname = \"a\"\npaths = [\"{path}\"]\n[model.references]\nr = \"a\"\n[model.fields]\n\
             r = \"many2one\"\nt = \"text\""
        )
    };
    assert!(Readable::parse(&path("r.t")).is_ok());
    let of_line = path("r.parent_id").replace("r = \"a\"", "r = \"account.move.line\"");
    let line = line("move_id");
    let refused = Readable::parse(&format!("{of_line}\n{line}"));
    assert!(matches!(refused, Err(ReadableRefused::NotAPath(..))), "the field whose read writes");
    for (to, name) in [("b", "r"), ("a", "t"), ("a", "x")] {
        let text = path("r.t").replace("r = \"a\"", &format!("{name} = \"{to}\""));
        assert!(matches!(Readable::parse(&text), Err(ReadableRefused::NotAReference(..))), "{name} to {to}");
    }
    for wrong in ["r", "r.", ".t", "r.x", "t.r", "x.t", "r.r.t", "r.parent_id", "r.t,x", "r. t", ""] {
        assert!(matches!(Readable::parse(&path(wrong)), Err(ReadableRefused::NotAPath(..))), "{wrong}");
    }
    for wrong in [
        "[[model]]\nname = \"a\"\n[model.fields]",
        "[[model]]\nname = \"a'); write(\"\n[model.fields]\nx = \"text\"",
        "[[model]]\nname = \"a\"\n[model.fields]\n\"x,y\" = \"text\"",
        "[[model]]\nname = \"a\"\n[model.fields]\nx = \"binary\"",
        "[[model]]\nname = \"a\"\nmethods = [\"write\"]\n[model.fields]\nx = \"text\"",
        "nothing",
    ] {
        assert!(Readable::parse(wrong).is_err(), "{wrong}");
    }
}

/// Attack on P6.
#[test]
fn an_org_can_name_less_and_never_more() {
    let readable = Readable::embedded().unwrap();
    let part = |text: &str| serde_json::from_str::<Narrowed>(text).unwrap();
    let less = part(r#"{"account.move.line": ["move_id", "name"], "account.move": ["name", "partner_id"]}"#);
    assert_eq!(readable.takes(&less), Ok(()));
    let left = readable.narrowed(&less);
    assert_eq!(left.all_names(), ["account.move", "account.move.line"]);
    let (moves, lines) = (left.model("account.move").unwrap(), left.model("account.move.line").unwrap());
    assert!(moves.fields(&["name"]).is_ok() && moves.fields(&["state"]).is_err());
    assert_eq!(lines.refers_to("move_id"), Some("account.move"));
    assert_eq!(moves.refers_to("partner_id"), None, "that model is not left");
    assert!(lines.condition_on("move_id.move_type").is_err(), "that field is not left");
    for (more, field, rule) in [
        (r#"{"res.users": ["login"]}"#, None, "readable"),
        (r#"{"account.move": []}"#, None, "not_empty"),
        (r#"{"account.move": ["name", "access_token"]}"#, Some(1), "readable"),
        (r#"{"account.move": ["name", "name"]}"#, Some(1), "once"),
        (r#"{"account.move.line": ["move_id.move_type"]}"#, Some(0), "readable"),
    ] {
        let wrong = readable.takes(&part(more)).unwrap_err();
        assert_eq!((wrong.len(), wrong[0].field, wrong[0].rule), (1, field, rule), "{more}");
        let left = readable.narrowed(&part(more));
        assert!(left.model("res.users").is_err());
        if let Ok(moves) = left.model("account.move") {
            assert!(moves.fields(&["access_token"]).is_err());
        }
    }
}
