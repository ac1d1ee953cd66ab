//! A company without an identity provider: people who sign in with accounts of the service's own, as their browsers call.

use super::client::{Answer, Api, Extra};
use super::process::rentcar;
use super::sse::Events;
use super::{Options, SOON, TestServer, eventually, unique};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

pub const PASSWORD: &str = "correct horse battery";
pub const ANOTHER: &str = "wrong horse battery";

/// A company without an identity provider.
pub struct Company {
    pub server: TestServer,
    pub directory: tempfile::TempDir,
}

pub fn address_of(name: &str) -> String {
    format!("{}@example.com", unique(name))
}

/// A file with a master key.
pub fn master_key(directory: &tempfile::TempDir) -> PathBuf {
    let file = directory.path().join("master.key");
    write_master_key(&file);
    file
}

/// The same at a place.
pub fn write_master_key(file: &Path) {
    fs::write(file, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n").unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Company {
    pub async fn start() -> Company {
        Company::with(Options::with_faults()).await
    }

    pub async fn with(options: Options) -> Company {
        let directory = tempfile::tempdir().unwrap();
        let drop_box = directory.path().join("resets");
        fs::create_dir(&drop_box).unwrap();
        let options = options
            .setting("ACCOUNTS__ENABLED", "true")
            .setting("ACCOUNTS__HASH_MEMORY_KIB", "1024")
            .setting("ACCOUNTS__HASH_PASSES", "1")
            .setting("ACCOUNTS__RESET_DROP", drop_box.to_str().unwrap())
            .setting("PRIVACY__MASTER_KEY_FILE", master_key(&directory).to_str().unwrap());
        Company { server: TestServer::with(options).await, directory }
    }

    pub async fn sign_up(&self, email: &str) -> Browser {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Kim Minji", "phone": "010" });
        Browser::of(&self.server.post("/v1/accounts", &body).await.expect(201), self.server.api())
    }

    pub async fn try_sign_in(&self, email: &str, password: &str) -> Answer {
        self.server.post("/v1/session", &json!({ "email": email, "password": password })).await
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Browser {
        Browser::of(&self.try_sign_in(email, password).await.expect(201), self.server.api())
    }

    /// The only message in the drop, which is taken away.
    pub async fn message(&self) -> Value {
        let drop_box = self.directory.path().join("resets");
        let files = || -> Vec<PathBuf> {
            let all = fs::read_dir(&drop_box).unwrap().map(|file| file.unwrap().path());
            all.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect()
        };
        eventually("a message is in the drop", SOON, async || files().len() == 1).await;
        let file = files().remove(0);
        let message = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        fs::remove_file(file).unwrap();
        message
    }

    pub fn messages(&self) -> usize {
        fs::read_dir(self.directory.path().join("resets")).unwrap().count()
    }

    /// An operator, whose account is made by the command line where nobody else can.
    pub async fn operator(&mut self) -> Browser {
        let email = address_of("jisoo");
        self.server.terminate().await;
        let (status, log) = user(&self.server, &["new", "--email", &email, "--role", "operator"], PASSWORD);
        assert!(status, "{log}");
        self.server.restart().await;
        self.sign_in(&email, PASSWORD).await
    }
}

/// Runs `rentcar user` on the data of a server, with a password on standard input.
pub fn user(server: &TestServer, arguments: &[&str], password: &str) -> (bool, String) {
    let mut command = rentcar();
    command.arg("user").args(arguments).arg("--data").arg(server.data()).envs(server.settings());
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Somebody who has signed in, as a page of the service would call.
#[derive(Clone)]
pub struct Browser {
    pub api: Api,
    pub cookie: String,
    pub form_token: String,
    pub origin: String,
    pub customer_no: String,
}

impl Browser {
    pub fn of(signed_in: &Answer, api: Api) -> Browser {
        let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
        let form_token = signed_in.text_at("/formToken");
        let customer_no = signed_in.json["customerNo"].as_str().unwrap_or_default().to_owned();
        Browser { origin: api.url.clone(), api, cookie, form_token, customer_no }
    }

    pub async fn call(&self, method: Method, target: &str, body: Option<&Value>) -> Answer {
        let headers = [("Cookie", &*self.cookie), ("Origin", &*self.origin), ("X-Form-Token", &*self.form_token)];
        self.api.send(method, target, body, Extra { headers: &headers, raw: None }).await
    }

    /// Sends a form with its token.
    pub async fn post_form(&self, target: &str, typed: &str) -> Answer {
        let headers = [("Cookie", &*self.cookie), ("Origin", &*self.origin)];
        self.api.post_form(target, &headers, &format!("formToken={}&{typed}", self.form_token)).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.api.send(Method::GET, target, None, Extra { headers: &[("Cookie", &*self.cookie)], raw: None }).await
    }

    pub async fn post(&self, target: &str, body: &Value) -> Answer {
        self.call(Method::POST, target, Some(body)).await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.call(Method::DELETE, target, None).await
    }

    pub async fn is_signed_in(&self) -> bool {
        let answer = self.get("/v1/session").await;
        if answer.status == 200 {
            return true;
        }
        answer.refused(401, "unauthenticated");
        false
    }

    /// The live events of this customer.
    pub async fn events(&self) -> Events {
        Events::open_with(&self.api, &self.customer_no, &[("Cookie", &*self.cookie)]).await
    }
}
