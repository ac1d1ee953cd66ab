//! `ChromeDriver` and the browsers that it starts.

use crate::common::SOON;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// What is said where the tools are not there.
const MISSING: &str = "the browser tests need Chromium, ChromeDriver and axe-core: scripts/install-tools.sh installs them, \
                       and RENTCAR_NO_BROWSER=1 leaves these tests out";
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long `ChromeDriver` may take to end its browsers.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How much of a page is shown when a test fails.
const SHOWN_CHARS_MAX: usize = 1_500;

const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // How days are typed depends on it; which language a page has, does not.
    "--lang=en",
];

/// Whether somebody has asked for these tests to be left out.
pub fn is_left_out() -> bool {
    std::env::var("RENTCAR_NO_BROWSER").is_ok_and(|value| value == "1")
}

/// The text of axe-core.
pub fn axe() -> String {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
    let path = path.join("browser/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; {MISSING}", path.display()))
}

/// One process for all tests that run at the same time; it ends with the last of them, also when that one fails.
struct Driver {
    process: Child,
    port: u16,
}

impl Driver {
    fn shared() -> Arc<Driver> {
        static SHARED: Mutex<Weak<Driver>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let driver = Arc::new(Driver::start());
            *shared = Arc::downgrade(&driver);
            driver
        })
    }

    fn start() -> Driver {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("chromedriver: {error}; {MISSING}"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        // "… was started successfully on port 12345."
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // The pipe is drained until its end, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(port) = port else {
            let _ = process.kill();
            panic!("chromedriver did not say where it listens: {:?}", process.wait());
        };
        Driver { process, port }
    }

    /// Asks for something without waiting in the runtime, which may be ending.
    fn ask(&self, method: &str, path: &str) {
        let asked = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(END_WITHIN))?;
            let host = format!("127.0.0.1:{}", self.port);
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )?;
            // The answer comes once it is done, and the connection stays.
            stream.read(&mut [0; 256]).map(drop)
        };
        // Whatever is left is killed.
        let _ = asked();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Killed, it would leave its browsers behind.
        self.ask("GET", "/shutdown");
        let begun = Instant::now();
        while begun.elapsed() < END_WITHIN && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that only `ChromeDriver` knows.
#[derive(Debug)]
struct OfChrome {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for OfChrome {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// What kind of browser somebody has.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The language that it prefers.
    pub language: &'static str,
    /// Whether pages may run scripts.
    pub script: bool,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind { language: "en", script: true }
    }
}

/// A browser with a profile of its own. It must be ended, which looks into its log.
pub struct Browser {
    client: Client,
    /// The address of the service.
    base: String,
    session: String,
    has_ended: bool,
    driver: Arc<Driver>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub async fn open(base: &str, kind: Kind) -> Browser {
        let driver = Driver::shared();
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let mut preferences = json!({"intl.accept_languages": kind.language, "intl.selected_languages": kind.language});
        if !kind.script {
            preferences["profile.managed_default_content_settings.javascript"] = json!(2);
        }
        let wanted = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments, "prefs": preferences},
        });
        let wanted: Capabilities = wanted.as_object().unwrap().clone();
        let address = format!("http://127.0.0.1:{}/", driver.port);
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&address).await;
        let client = client.unwrap_or_else(|error| panic!("no browser has started: {error}; {MISSING}"));
        let session = client.session_id().await.unwrap().unwrap();
        let browser = Browser { client, base: base.to_owned(), session, has_ended: false, driver, _profile: profile };
        // We end it ourselves, in any case.
        browser.client.persist().await.unwrap();
        browser.look(1280, false).await;
        browser
    }

    /// A window of so many pixels, light or dark.
    pub async fn look(&self, width: u32, dark: bool) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(OfChrome { path: "goog/cdp/execute", body }).await.unwrap()
    }

    /// Opens an address of the service.
    pub async fn go(&self, address: &str) {
        self.client.goto(&format!("{}{address}", self.base)).await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }

    /// Where it is, as path and query.
    pub async fn address(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url.as_str().strip_prefix(&self.base).unwrap_or(url.as_str()).to_owned()
    }

    /// Runs a script of ours, which works also where pages may not run any.
    pub async fn run(&self, script: &str, arguments: &[Value]) -> Result<Value, CmdError> {
        self.client.execute(script, arguments.to_vec()).await
    }

    /// The same with a script that calls its last argument when it is done.
    pub async fn run_until_done(&self, script: &str, arguments: &[Value]) -> Value {
        self.client.execute_async(script, arguments.to_vec()).await.unwrap()
    }

    /// Waits until a script returns something that is true; it is asked again when the page has changed meanwhile.
    pub async fn wait(&self, what: &str, script: &str, arguments: &[Value]) {
        let begun = Instant::now();
        loop {
            let answer = self.run(script, arguments).await;
            if matches!(answer, Ok(Value::Bool(true))) {
                return;
            }
            let in_time = begun.elapsed() < SOON;
            assert!(in_time, "not within {SOON:?}: {what} ({answer:?}); {}", self.shown().await);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until an element has these words in it.
    pub async fn sees(&self, css: &str, words: &str) {
        let script =
            "return [...document.querySelectorAll(arguments[0])].some((e) => e.innerText.includes(arguments[1]))";
        self.wait(&format!("{css} says {words:?}"), script, &[json!(css), json!(words)]).await;
    }

    /// Waits until there is no such element.
    pub async fn sees_no(&self, css: &str) {
        let script = "return document.querySelector(arguments[0]) === null";
        self.wait(&format!("there is no {css}"), script, &[json!(css)]).await;
    }

    /// Waits until the page is one whose address begins so.
    pub async fn is_at(&self, begin: &str) {
        let script = "return (location.pathname + location.search).startsWith(arguments[0])";
        self.wait(&format!("the address begins with {begin}"), script, &[json!(begin)]).await;
    }

    /// The words of all elements of a kind.
    pub async fn texts(&self, css: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.trim())";
        serde_json::from_value(self.run(script, &[json!(css)]).await.unwrap()).unwrap()
    }

    async fn element(&self, css: &str) -> Element {
        match self.client.wait().at_most(SOON).every(LOOK_EVERY).for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("{css}: {error}; {}", self.shown().await),
        }
    }

    pub async fn click(&self, css: &str) {
        if let Err(error) = self.element(css).await.click().await {
            panic!("{css} was not clicked: {error}; {}", self.shown().await);
        }
    }

    /// Clicks a link or button by its words.
    pub async fn press(&self, words: &str) {
        let path = format!("//main//*[self::a or self::button or self::summary][normalize-space()={words:?}]");
        let found = self.client.wait().at_most(SOON).every(LOOK_EVERY).for_element(Locator::XPath(&path)).await;
        let clicked = match found {
            Ok(element) => element.click().await,
            Err(error) => Err(error),
        };
        if let Err(error) = clicked {
            panic!("{words:?} was not pressed: {error}; {}", self.shown().await);
        }
    }

    /// Types a text into a field, instead of what is in it.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Types keys into whatever has the focus.
    pub async fn keys(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Types a day, such as `2026-12-05`, as this browser wants it.
    pub async fn fill_day(&self, css: &str, day: &str) {
        let [year, month, day_of_month] = day.split('-').collect::<Vec<_>>()[..] else { panic!("{day} is no day") };
        self.element(css).await.send_keys(&format!("{month}{day_of_month}{year}")).await.unwrap();
        let script = "return document.querySelector(arguments[0]).value === arguments[1]";
        self.wait(&format!("{css} is {day}"), script, &[json!(css), json!(day)]).await;
    }

    /// Chooses an option by its value or words.
    pub async fn choose(&self, css: &str, option: &str) {
        let path = format!(".//option[@value={option:?} or normalize-space()={option:?}]");
        let chosen = self.element(css).await.select_by(Locator::XPath(&path)).await;
        chosen.unwrap_or_else(|error| panic!("{option:?} was not chosen: {error}"));
    }

    /// Opens another tab in front of the others.
    pub async fn new_tab(&self) -> WindowHandle {
        let tab = self.client.new_window(true).await.unwrap().handle;
        self.to_tab(&tab).await;
        tab
    }

    pub async fn tab(&self) -> WindowHandle {
        self.client.window().await.unwrap()
    }

    /// Brings a tab to the front; the others are hidden.
    pub async fn to_tab(&self, tab: &WindowHandle) {
        self.client.switch_to_window(tab.clone()).await.unwrap();
        self.wait("the tab is in front", "return document.visibilityState === 'visible'", &[]).await;
    }

    /// What a person would see, for the message of a failure.
    async fn shown(&self) -> String {
        let address = self.client.current_url().await.map(|url| url.to_string()).unwrap_or_default();
        let text = self.run("return document.body.innerText", &[]).await.unwrap_or_default();
        let text: String = text.as_str().unwrap_or_default().chars().take(SHOWN_CHARS_MAX).collect();
        format!("at {address}:\n{text}\n")
    }

    /// Ends the browser, in whose log there must be no error of a script and nothing that was forbidden.
    pub async fn end(mut self) {
        let log = self.client.issue_cmd(OfChrome { path: "se/log", body: json!({"type": "browser"}) }).await.unwrap();
        self.has_ended = true;
        let is_bad = |entry: &&Value| {
            // A refusal (4xx) is an error of the network there, and a page for us.
            let is_error = entry["level"] == "SEVERE" && entry["source"] != "network";
            is_error || entry["message"].as_str().unwrap_or_default().contains("Content Security Policy")
        };
        let bad: Vec<_> = log.as_array().unwrap().iter().filter(is_bad).collect();
        assert!(bad.is_empty(), "the browser's log has {bad:#?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.driver.ask("DELETE", &format!("/session/{}", self.session));
        assert!(self.has_ended || std::thread::panicking(), "a browser was not ended");
    }
}
