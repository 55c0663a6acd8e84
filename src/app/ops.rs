//! The listener for operations, beside the API's.

use std::net::{SocketAddr, TcpListener};

use actix_web::{App as Service, HttpServer, web};

use crate::app::HEAD_WITHIN;
use crate::app::setup::StartError;
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
        let server =
            HttpServer::new(move || Service::new().app_data(state.clone()).configure(http::ops_routes))
                .workers(1)
                .client_request_timeout(HEAD_WITHIN)
                .disable_signals()
                .listen(listener)
                .map_err(|source| StartError::cant_listen(address, source))?;
        Ok(Self { address, server: server.run() })
    }
}

/// A listener, and where it is.
pub(super) fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let io = |source| StartError::cant_listen(listen, source);
    let listener = TcpListener::bind(listen).map_err(io)?;
    let address = listener.local_addr().map_err(io)?;
    Ok((listener, address))
}
