//! The `Host` of a request (RFC 9112, section 3.2): exactly one, and the authority of the target where that is in
//! absolute form. Knows no routes.

use super::problem::Problem;
use std::net::Ipv6Addr;
use warp::http::header::HOST;
use warp::http::{HeaderValue, Request, Version};

/// The longest host with its port, in bytes: a name of 253, and room for the port.
const HOST_BYTES_MAX: usize = 260;

/// Checks the `Host` of a request, and replaces it by the target's authority if the target is in absolute form: all
/// code behind this reads one valid `Host`.
///
/// # Errors
/// 400 `invalid_host`: HTTP/1.1 without one, or any version with two or with an invalid one.
pub(super) fn validate<B>(request: &mut Request<B>) -> Result<(), Problem> {
    let mut given = request.headers().get_all(HOST).iter();
    let legal = match (given.next(), given.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        // An empty one says that the target has no authority; links are paths then.
        (Some(host), None) => host.is_empty() || host.to_str().is_ok_and(is_host),
        (Some(_), Some(_)) => false,
    };
    let target = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if !legal || target.as_deref().is_some_and(|target| !is_host(target)) {
        return Err(invalid());
    }
    if let Some(target) = target.and_then(|target| HeaderValue::try_from(target).ok()) {
        request.headers_mut().insert(HOST, target);
    }
    Ok(())
}

fn invalid() -> Problem {
    let detail = "the request must have exactly one Host header, which is a host with or without a port, such as \
                  localhost:8080 or [::1]:8080";
    Problem::new("invalid_host", detail).closing()
}

/// Whether a text is a host with or without a port by RFC 3986, section 3.2, less what no host uses: sub-delims in
/// names, among them the comma that joins two `Host` lines, and addresses of future versions.
pub(crate) fn is_host(text: &str) -> bool {
    let (host_is_legal, rest) = if let Some(opened) = text.strip_prefix('[') {
        let Some((address, rest)) = opened.split_once(']') else { return false };
        (address.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        (is_name(name.as_bytes()), rest)
    };
    let port_is_legal = match rest.strip_prefix(':') {
        Some(port) => {
            port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
        }
        None => rest.is_empty(),
    };
    text.len() <= HOST_BYTES_MAX && host_is_legal && port_is_legal
}

/// A name or an IPv4 address: unreserved characters, and others as `%` with two hexadecimal digits.
fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (b'-' | b'.' | b'_' | b'~', _) => after,
            (byte, _) if byte.is_ascii_alphanumeric() => after,
            _ => return false,
        };
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validated(version: Version, target: &str, hosts: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut request = Request::builder().version(version).uri(target).body(()).expect("a request");
        for host in hosts {
            request.headers_mut().append(HOST, HeaderValue::from_bytes(host).expect("a value"));
        }
        validate(&mut request).map_err(|problem| problem.code)?;
        Ok(request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned))
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for good in
            ["localhost", "cars.example:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:443", "a_b", "a%20b", "x:"]
        {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a,b",
            "a, b",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "[x]",
            "[]",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:1:2",
            ":80",
            "user@a",
            "a/b",
            "http://a",
            "a\"b",
            "<a>",
            "a%2",
            "a%zz",
            "a;b",
            "\u{ac00}",
            &"x".repeat(261),
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn only_an_old_request_needs_no_host_and_none_may_have_two_or_one_that_is_none() {
        assert_eq!(validated(Version::HTTP_10, "/", &[]), Ok(None));
        assert_eq!(validated(Version::HTTP_11, "/", &[]), Err("invalid_host"));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(validated(version, "/", &[b"a"]), Ok(Some("a".to_owned())));
            assert_eq!(validated(version, "/", &[b""]), Ok(Some(String::new())));
            let wrong: [&[&[u8]]; 5] = [&[b"a", b"a"], &[b"a", b"b"], &[b"", b"a"], &[b"a b"], &[b"\xff"]];
            for hosts in wrong {
                assert_eq!(validated(version, "/", hosts), Err("invalid_host"), "{hosts:?}");
            }
        }
    }

    #[test]
    fn a_target_in_absolute_form_says_the_host_itself() {
        assert_eq!(validated(Version::HTTP_11, "http://b:81/x", &[b"a"]), Ok(Some("b:81".to_owned())));
        assert_eq!(validated(Version::HTTP_10, "http://b/x", &[]), Ok(Some("b".to_owned())));
        assert_eq!(validated(Version::HTTP_11, "http://b/x", &[]), Err("invalid_host"), "it needs a Host all the same");
        assert_eq!(validated(Version::HTTP_11, "http://user@b/x", &[b"b"]), Err("invalid_host"));
    }
}
