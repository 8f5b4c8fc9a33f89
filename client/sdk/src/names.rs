//! Names of hosts to addresses.

use crate::address::is_loopback;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;
use tower_service::Service;

/// The system's resolver. Names of this very machine (RFC 6761, section 6.3) it is not asked for: few know `*.localhost`,
/// and one that leads elsewhere would be wrong.
#[derive(Clone)]
pub(crate) struct Names(GaiResolver);

impl Names {
    pub(crate) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Names {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if is_loopback(name.as_str()) {
            // The port is the caller's.
            let here =
                [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
            return Box::pin(std::future::ready(Ok(Vec::from(here).into_iter())));
        }
        let asked = self.0.call(name);
        Box::pin(async move { Ok(asked.await?.collect::<Vec<_>>().into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_lead_to_it_and_nobody_is_asked() {
        for name in ["localhost", "hello.localhost", "Hello.LOCALHOST"] {
            let found: Vec<_> = Names::new().call(name.parse().unwrap()).await.unwrap().collect();
            assert!(found.len() == 2 && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        }
    }
}
