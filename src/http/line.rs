//! The line that a caller hangs on, held beside the server's own hand on it: who takes nothing of what they were promised
//! is cut off when their time is over, and not when the server next has something to write.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustix::net::sockopt::{set_socket_linger, set_tcp_cork};
use rustix::net::{Shutdown, shutdown};

/// A caller's connection.
#[derive(Clone)]
pub struct Line(Arc<OwnedFd>);

impl Line {
    /// Keeps that of a connection that was just made with what is known of it. Where the process may have no more files
    /// there is none, and it ends as others do.
    pub fn keep(connection: &dyn Any, known: &mut Extensions) {
        let plain = connection.downcast_ref::<TcpStream>();
        let within = || connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
        let socket = plain.or_else(within).and_then(|socket| socket.as_fd().try_clone_to_owned().ok());
        if let Some(socket) = socket {
            known.insert(Self(Arc::new(socket)));
        }
    }

    /// Ends it now. What was not taken yet is not kept for anybody.
    pub(super) fn cut(&self) {
        let _ = set_socket_linger(&self.0, Some(Duration::ZERO));
        let _ = shutdown(&self.0, Shutdown::Both);
    }

    /// What is written from now on is put together, until it fills a packet or is let go. The system lets go of it by
    /// itself after 200 ms (tcp(7), `TCP_CORK`).
    pub(super) fn hold(&self) {
        let _ = set_tcp_cork(&self.0, true);
    }

    /// What was held goes out.
    pub(super) fn let_go(&self) {
        let _ = set_tcp_cork(&self.0, false);
    }
}
