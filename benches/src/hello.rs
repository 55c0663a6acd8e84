//! The least that any server of this framework does for an answer: a fixed one, from a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use actix_web::{App, HttpResponse, HttpServer, rt, web};

use crate::load::Target;
use crate::vault::SECRET;

/// What this program is told to be the server itself.
pub const VERB: &str = "hello";

pub struct Hello {
    child: Child,
    pub target: Target,
}

impl Hello {
    pub fn start(callers: usize) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut child =
            Command::new(this).arg(VERB).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let requests = vec![b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n".to_vec(); callers];
        let target = Target { address: address.trim_end().to_owned(), requests, secret: SECRET.to_owned() };
        Self { child, target }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server: says its address and goes on until it is ended.
pub fn serve() {
    let answer = || async { HttpResponse::Ok().body(format!("\"{SECRET}\"")) };
    let server = HttpServer::new(move || App::new().route("/", web::get().to(answer)));
    let server = server.bind("127.0.0.1:0").unwrap();
    println!("{}", server.addrs()[0]);
    rt::System::new().block_on(server.run()).unwrap();
}
