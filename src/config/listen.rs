//! The address to listen on, as people write it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

pub const HOST_DEFAULT: &str = "127.0.0.1";

/// `HOST:PORT`, or `:PORT` or `PORT` for `127.0.0.1`. The host may be a name, and port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen {
    written: String,
    host: String,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidListen(String);

impl Listen {
    /// The host, as it was written or by default; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address that is written, where no name is.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// Every address that the host leads to: IPv4 before IPv6, each in numeric order, whatever order the resolver has.
    /// Blocks while it is asked.
    ///
    /// # Errors
    /// When the name leads nowhere.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(in_order((self.host.as_str(), self.port).to_socket_addrs()?))
    }
}

fn in_order(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(written: &str) -> Result<Listen, InvalidListen> {
        let refused = |what: &str| {
            Err(InvalidListen(format!(
                "{what}; write HOST:PORT, :PORT or PORT, such as {HOST_DEFAULT}:8080 or localhost:8080"
            )))
        };
        if written.contains('/') {
            return refused("an address has no http:// and no path");
        }
        let (host, port) = match written.rsplit_once(':') {
            Some(("", port)) => (HOST_DEFAULT, port),
            Some((host, port)) => (host, port),
            None => (HOST_DEFAULT, written),
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let Some(port) = port.parse().ok().filter(|_| digits) else {
            return refused("the port must be a number from 0 to 65535");
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inside) if inside.parse::<std::net::Ipv6Addr>().is_ok() => inside,
            Some(_) => return refused("what stands in brackets must be an IPv6 address"),
            None if host.contains(':') => return refused("an IPv6 address stands in brackets, as in [::1]:8080"),
            None if host == "*" => return refused("* is no host; all addresses are 0.0.0.0"),
            None if host.chars().all(|char| char.is_alphanumeric() || "-._".contains(char)) => host,
            None => return refused("the host must be a name or an address"),
        };
        Ok(Listen { written: written.to_owned(), host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Listen {
    type Error = InvalidListen;

    fn try_from(written: String) -> Result<Listen, InvalidListen> {
        written.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> String {
        listen.written
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine_and_what_was_written_stays() {
        for (written, address) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            let listen: Listen = written.parse().unwrap();
            assert_eq!(listen.literal(), Some(address.parse().unwrap()), "{written}");
            assert_eq!(listen.to_string(), written);
        }
        let named: Listen = "localhost:8080".parse().unwrap();
        assert_eq!((named.host(), named.literal()), ("localhost", None));
    }

    #[test]
    fn what_says_nowhere_to_listen_is_refused_with_what_to_write() {
        for (written, word) in [
            ("", "port"),
            ("localhost", "port"),
            ("localhost:", "port"),
            ("localhost:http", "port"),
            (":65536", "65535"),
            ("127.0.0.1:+80", "port"),
            ("-1", "port"),
            ("http://localhost:8080", "http://"),
            ("localhost:8080/", "path"),
            ("::1:8080", "brackets"),
            ("[localhost]:8080", "IPv6"),
            ("*:8080", "0.0.0.0"),
            ("my host:8080", "name"),
        ] {
            let said = written.parse::<Listen>().unwrap_err().to_string();
            assert!(said.contains(word) && said.contains("localhost:8080"), "{written:?}: {said}");
        }
    }

    #[test]
    fn the_addresses_of_a_name_have_an_order_of_their_own() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let found = ["[::1]:80", "127.0.0.2:80", "127.0.0.1:80", "127.0.0.2:80"].map(address);
        let expected = ["127.0.0.1:80", "127.0.0.2:80", "[::1]:80"].map(address);
        assert_eq!(in_order(found.into_iter()), expected);
        assert_eq!(in_order(found.into_iter().rev()), expected);
    }
}
