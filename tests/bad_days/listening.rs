//! Listen addresses in all their forms, and the message when one cannot be used.

use super::{Run, run};
use crate::common::process::rentcar;
use std::net::TcpListener;

/// Where a command listens once it is ready.
#[track_caller]
fn listens_at(arguments: &[&str], variable: Option<&str>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = rentcar();
    command.args(arguments).current_dir(directory.path());
    command.envs(variable.map(|listen| ("RENTCAR__SERVER__LISTEN", listen)));
    Run::start(&mut command).ready()
}

/// The configured port as free as a moment ago.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn a_name_or_a_port_alone_says_where_to_listen() {
    for listen in ["localhost:0", ":0", "0", "127.0.0.1:0"] {
        for arguments in [&["serve", "--listen", listen][..], &["--listen", listen], &["provider", "--listen", listen]]
        {
            let url = listens_at(arguments, None);
            assert!(url.starts_with("http://127.0.0.1:"), "{arguments:?}: {url}");
        }
        assert!(listens_at(&[], Some(listen)).starts_with("http://127.0.0.1:"), "{listen}");
    }
    let port = free_port();
    assert_eq!(listens_at(&["--listen", &port], None), format!("http://127.0.0.1:{port}"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rentcar.toml");
    for listen in [port.clone(), format!("\":{port}\""), format!("\"localhost:{port}\"")] {
        std::fs::write(&file, format!("[server]\nlisten = {listen}\n")).unwrap();
        let url = listens_at(&["--config", file.to_str().unwrap()], None);
        assert_eq!(url, format!("http://127.0.0.1:{port}"), "{listen}");
    }
}

#[test]
fn the_settings_show_where_to_listen_as_it_was_written() {
    for listen in ["localhost:8080", ":8080", "8080"] {
        let line = format!("listen = \"{listen}\"");
        let printed = run(rentcar().args(["config", "--listen", listen])).done();
        assert!(printed.contains(&line), "{printed}");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rentcar.toml");
        std::fs::write(&file, &printed).unwrap();
        assert_eq!(run(rentcar().args(["config", "--config"]).arg(&file)).done(), printed);
    }
}

#[test]
fn a_port_in_use_is_refused_with_what_to_do_before_the_data_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = taken.local_addr().unwrap().port().to_string();
    let words = [&*address, "cannot be listened on", "in use", "another program listens there", "--listen", "ss -ltnp"];
    for listen in [address.clone(), format!("localhost:{port}"), port] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = rentcar();
        run(command.args(["serve", "--listen", &listen, "--data", "data"]).current_dir(directory.path()))
            .refused(&words);
        assert!(!directory.path().join("data").exists());
        run(rentcar().args(["provider", "--listen", &listen])).refused(&words);
    }
}

#[test]
fn what_is_no_address_of_this_machine_is_refused_with_what_to_do() {
    let public = ("RENTCAR__SERVER__ALLOW_PUBLIC_LISTEN", "true");
    let elsewhere = run(rentcar().args(["--listen", "192.0.2.1:0"]).envs([public]));
    elsewhere.refused(&["192.0.2.1:0 cannot be listened on", "no such address", "127.0.0.1"]);
    let words = ["no..where", "leads to no address"];
    run(rentcar().args(["--listen", "no..where:0"])).refused(&words);
    run(rentcar().args(["provider", "--listen", "no..where:0"])).refused(&words);
}

#[test]
fn a_started_program_says_what_to_do_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Run::serve(&directory.path().join("data"));
    let mut provider = Run::start(rentcar().args(["provider", "--listen", ":0"]));
    let (service_url, provider_url) = (server.ready(), provider.ready());
    super::wait_until("both have said it", || server.err().contains("Ctrl-C") && provider.err().contains("Ctrl-C"));
    for next in [format!("rentcar demo --url {service_url}"), format!("{service_url}/openapi.json")] {
        assert!(server.err().contains(&next), "no {next} in {}", server.err());
    }
    let next = format!("rentcar serve --payment-provider {provider_url}");
    assert!(provider.err().contains(&next), "no {next} in {}", provider.err());
    for (name, run) in [("serve", server), ("provider", provider)] {
        assert_eq!(run.out().lines().count(), 1, "{name} is ready in one line");
    }
}
