//! What stands before a server: proxies that close paths or have lost it, pages for people, and a server
//! with several databases that wants one chosen first.

use super::DATABASE;
use super::http::{Answer, Incoming, JSON_LAST, TEXT_FIRST, answered, page};
use super::routes;
use super::settings::{Front, Settings};
use super::wire::Value;

/// The answer of what stands before the server, if it answers.
pub fn answer(incoming: &Incoming, settings: &Settings) -> Option<Answer> {
    match settings.front {
        Front::Closed(paths, status) if paths.iter().any(|path| incoming.path.starts_with(path)) => {
            Some(of_proxy(status))
        }
        Front::Guarded(status) if !routes::needs_no_login(incoming) => Some(of_proxy(status)),
        Front::Bare | Front::Closed(..) | Front::Guarded(_) => unchosen(incoming, settings),
        Front::Down => Some(of_proxy("502 Bad Gateway")),
        Front::Selector => Some(to("/web/database/selector")),
        Front::LoginPage => Some(answered("200 OK", TEXT_FIRST, "", LOGIN_PAGE.to_owned())),
    }
}

/// Where several databases are and none is named.
fn unchosen(incoming: &Incoming, settings: &Settings) -> Option<Answer> {
    if settings.others.is_empty() || incoming.header("x-odoo-database") == Some(DATABASE) {
        return None;
    }
    match incoming.path.as_str() {
        "/" | "/odoo" | "/web" | "/web/login" => Some(to("/web/database/selector")),
        "/jsonrpc" if settings.hides_rpc => {
            // As n8n-io/n8n#5275 quotes it.
            let data = Value::structure([
                ("name", Value::text("werkzeug.exceptions.NotFound")),
                (
                    "debug",
                    Value::text(
                        "Traceback (most recent call last):\nwerkzeug.exceptions.NotFound: 404 Not Found\n",
                    ),
                ),
                ("message", Value::text("404 Not Found: The requested URL was not found on the server.")),
            ]);
            let error = Value::structure([
                ("code", Value::Int(404)),
                ("message", Value::text("404: Not Found")),
                ("data", data),
            ]);
            let body = format!("{{\"jsonrpc\": \"2.0\", \"id\": null, \"error\": {}}}", error.json());
            Some(answered("404 NOT FOUND", JSON_LAST, "", body))
        }
        path if settings.hides_rpc && path.starts_with("/xmlrpc/") => Some(no_database()),
        _ => None,
    }
}

/// What the server says where it knows no database to look in.
pub fn no_database() -> Answer {
    let body = "<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>No database is selected and the \
                requested URL was not found in the server-wide controllers.</p>\n<p>Please verify the hostname, <a \
                href=/web/login>login</a> and try again.</p>\n\n<!-- Alternatively, use the X-Odoo-Database header. -->\n";
    answered("404 NOT FOUND", TEXT_FIRST, "", body.into())
}

fn to(place: &str) -> Answer {
    let location = format!("Location: {place}\r\n");
    let (title, why) =
        ("Redirecting...", format!("You should be redirected to <a href=\"{place}\">{place}</a>."));
    page("303 SEE OTHER", &format!("{TEXT_FIRST}{location}"), title, &why)
}

fn of_proxy(status: &str) -> Answer {
    let body = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    answered(status, TEXT_FIRST, "", body)
}

const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html>\n<head><title>Log in</title></head>\n<body>\n<form class=\"oe_login_form\" \
                          action=\"/web/login\" method=\"post\"><input name=\"login\"><input name=\"password\" \
                          type=\"password\"></form>\n</body>\n</html>\n";
