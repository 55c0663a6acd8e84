//! The listener for operations, beside the API's.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::{App as Service, HttpServer, middleware, web};

use rustix::net::sockopt::set_tcp_user_timeout;

use crate::app::setup::StartError;
use crate::app::{HEAD_WITHIN, KEEP_ALIVE};
use crate::http::{self, State};

/// The ops listener: plain http, on loopback, with little that anybody could want.
pub(super) struct Ops {
    pub(super) address: SocketAddr,
    pub(super) server: actix_web::dev::Server,
}

impl Ops {
    pub(super) fn serve(
        listener: TcpListener,
        address: SocketAddr,
        state: web::Data<State>,
    ) -> Result<Self, StartError> {
        let server = HttpServer::new(move || {
            Service::new()
                .app_data(state.clone())
                .wrap(middleware::from_fn(http::guarded))
                .configure(http::ops_routes)
        })
        .workers(1)
        .max_connections(OPS_CONNECTIONS)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_WITHIN)
        .disable_signals()
        .listen(listener)
        .map_err(|source| StartError::cant_listen(address, source))?;
        Ok(Self { address, server: server.run() })
    }
}

/// Of whoever scrapes, and of health checks.
const OPS_CONNECTIONS: usize = 64;

/// A client that takes nothing of what it was sent for so long, not even a byte, is cut off.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

/// A listener, and where it is.
pub(super) fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let io = |source| StartError::cant_listen(listen, source);
    let listener = TcpListener::bind(listen).map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    // Every connection that it accepts inherits this, whatever is spoken over it.
    let millis = u32::try_from(TAKEN_WITHIN.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(&listener, millis).map_err(|e| io(e.into()))?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::net::sockopt::tcp_user_timeout;

    use super::*;

    /// Attack on P10.
    #[test]
    fn a_connection_inherits_how_long_nothing_may_be_taken() {
        let (listener, address) = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(tcp_user_timeout(&accepted).unwrap(), 20_000);
    }
}
