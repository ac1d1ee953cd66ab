//! Listening, with errors that say what a person can do.

use anyhow::anyhow;
use rentcar::kit::server;
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::net::TcpListener;

pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let port = address.port();
    server::listen(address).map_err(|error| {
        let kind = error.kind();
        let why = if kind == ErrorKind::AddrInUse {
            format!(
                "it is in use, since another program listens there, perhaps another rentcar. Listen on another port with \
                 --listen (port 0 takes a free one), or find that program with `ss -ltnp sport = :{port}`"
            )
        } else if kind == ErrorKind::AddrNotAvailable {
            "this machine has no such address. Listen on 127.0.0.1, or on one that `ip address` shows".to_owned()
        } else if kind == ErrorKind::PermissionDenied {
            "this user may not. Listen on a port from 1024 on with --listen, such as 8080".to_owned()
        } else {
            error.to_string()
        };
        anyhow!("{address} cannot be listened on: {why}")
    })
}
