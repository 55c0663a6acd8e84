//! Secrets Manager's API on loopback, as others rebuilt it: moto, from PyPI.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::REGION;
use crate::harness::{Answer, raw};

/// Ends when nobody holds the other end of its standard input: with this process, however that ends.
const SERVER: &str = "
import os, sys, threading
from werkzeug.serving import WSGIRequestHandler, make_server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
class Quiet(WSGIRequestHandler):
    def log(self, *_): pass
tls = tuple(sys.argv[1:]) or None
app = DomainDispatcherApplication(create_backend_app)
server = make_server('127.0.0.1', 0, app, True, request_handler=Quiet, ssl_context=tls)
threading.Thread(target=server.serve_forever, daemon=True).start()
print('https://localhost' if tls else 'http://127.0.0.1', server.server_port, sep=':', flush=True)
sys.stdin.read()
os._exit(0)
";

pub struct Moto {
    child: Child,
    pub url: String,
}

impl Moto {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With the certificate and the key of these two files.
    pub fn start_tls(files: [&Path; 2]) -> Self {
        Self::start_with(&files)
    }

    fn start_with(files: &[&Path]) -> Self {
        let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".into());
        let mut child = Command::new(python)
            .args(["-B", "-c", SERVER])
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http"), "no moto: run ./test, which installs what is missing");
        Self { child, url: line.trim().to_owned() }
    }

    /// One for all tests of this process.
    pub fn shared() -> &'static Self {
        static ONE: OnceLock<Moto> = OnceLock::new();
        ONE.get_or_init(Self::start)
    }

    /// What the operator's own tools would say.
    pub fn say(&self, action: &str, body: &Value) -> Answer {
        self.say_in(REGION, action, body)
    }

    /// Whether `region` has no such secret at all: also none that could be restored.
    pub fn lacks(&self, region: &str, name: &str) -> bool {
        let described = self.say_in(region, "DescribeSecret", &json!({"SecretId": name}));
        let missing = described.body.contains("ResourceNotFoundException");
        assert!(missing || described.status == 200, "{}", described.body);
        missing
    }

    fn say_in(&self, region: &str, action: &str, body: &Value) -> Answer {
        let headers = format!(
            "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: secretsmanager.{action}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=x/20261126/{region}/secretsmanager/aws4_request, \
             SignedHeaders=host, Signature=0\r\n"
        );
        raw(&self.url, "POST", "/", &headers, body.to_string().as_bytes())
    }

    pub fn put(&self, name: &str, value: &str) {
        let made = self.say("CreateSecret", &json!({"Name": name, "SecretString": value}));
        assert_eq!(made.status, 200, "{}", made.body);
    }

    /// What lies there, if it can be read.
    pub fn value(&self, name: &str) -> Option<String> {
        let answer = self.say("GetSecretValue", &json!({"SecretId": name}));
        (answer.status == 200).then(|| answer.text("SecretString"))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
