//! The way to the store: a request that could carry a key is sent by TLS, or never leaves this machine.

use aws_sdk_secretsmanager::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_secretsmanager::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_secretsmanager::error::BoxError;
use url::{Host, Url};

/// Asked before each request, whichever setting named the address.
#[derive(Debug)]
pub(super) struct NeverInTheClear;

impl Intercept for NeverInTheClear {
    fn name(&self) -> &'static str {
        "never in the clear"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if is_safe(context.request().uri()) { Ok(()) } else { Err(IN_THE_CLEAR.into()) }
    }
}

const IN_THE_CLEAR: &str = "the endpoint is plain http over a network: name one with https";

fn is_safe(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(Host::Ipv6(ip))) => ip.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_to_in_the_clear() {
        for safe in
            ["https://secretsmanager.eu-central-1.amazonaws.com/", "http://127.0.0.1:5000/", "http://[::1]/"]
        {
            assert!(is_safe(safe), "{safe}");
        }
        for wrong in
            ["http://secretsmanager.eu-central-1.amazonaws.com/", "http://10.0.0.1/", "ftp://127.0.0.1/", "/"]
        {
            assert!(!is_safe(wrong), "{wrong}");
        }
    }
}
