//! How a name becomes addresses: the system's way, or another that is passed in where the program is put together.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// A way to look names up. No answer is an empty one.
#[derive(Clone)]
pub struct Resolve(Arc<LookUp>);

type LookUp = dyn Fn(String) -> Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>> + Send + Sync;

impl Resolve {
    /// The system's resolver.
    pub fn system() -> Self {
        Self::through(async |name: String| match tokio::net::lookup_host((name, 0)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        })
    }

    /// Whatever `answer` says of a name, which has no dot at its end.
    pub fn by(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |name| {
            let found = answer(name.trim_end_matches('.'));
            Box::pin(async move { found })
        }))
    }

    /// Whatever comes of `ask`, such as a name server of one's own. A name that is whole ends with a dot.
    pub fn through<F>(ask: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<IpAddr>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(ask(name))))
    }

    /// Every address that `name` has.
    pub(super) async fn find(&self, name: &str) -> Vec<IpAddr> {
        (self.0)(name.to_owned()).await
    }
}
