//! Personal data outside the service's hands: copies of the directory and exports, erasures in restored backups, master keys that are
//! changed or lost, and the copy that customers have of their own data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::process::{SOME_MASTER_KEY, rentcar};
use common::{Options, SOON, TestServer, customer, eventually, hold, in_days, unique};
use rentcar::actors::api::PersonalData;
use rentcar::actors::customer::Customers;
use rentcar::actors::customer::master_key::{MasterKeys, RootSecret};
use rentcar::actors::customer::wrapping::Wrapped;
use rentcar::actors::customer::{seal, wrapping};
use rentcar::actors::runtime::StateDocument;
use rentcar::domain::customer::Customer;
use rentcar::domain::ids::CustomerNo;
use rentcar::store::erasure_list::{ErasureList, Step};
use rentcar::store::journal::Journal;
use rentcar::store::schema::{self, customer as stored};
use rentcar::store::sled::{SledJournal, SledSettings};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

const OTHER_MASTER_KEY: &str = "OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2NTQzMjEwOTg=";
const NAME: &str = "황보예림";
const VALUES: [&str; 4] = [NAME, "+82-10-7531-9024", "yerim.hwangbo@example.com", "77-31-902468-13"];

fn person(customer_no: &str) -> Value {
    let [name, phone, email, licence_no] = VALUES;
    json!({ "customerNo": customer_no, "name": name, "phone": phone, "email": email, "licenceNo": licence_no,
            "licenceConsent": true })
}

/// A company's folder: the master key, the list of erasures, and whatever is copied.
struct Company {
    folder: tempfile::TempDir,
    server: TestServer,
}

impl Company {
    async fn start() -> Company {
        let folder = tempfile::tempdir().unwrap();
        let server = TestServer::with(Options::default().setting("PRIVACY__MASTER_KEY", SOME_MASTER_KEY)).await;
        let mut company = Company { folder, server };
        company.restart_with(&[SOME_MASTER_KEY]).await;
        company
    }

    fn options(&self, keys: &[&str]) -> Options {
        Options::default()
            .setting("PRIVACY__MASTER_KEY", &keys.join("\n"))
            .setting("PRIVACY__ERASURE_LIST", self.folder.path().join("erasures").to_str().unwrap())
    }

    async fn restart_with(&mut self, keys: &[&str]) {
        self.server.restart_with(self.options(keys)).await;
    }

    async fn register(&self, customer_no: &str) {
        let answer = self.server.post("/v1/customers", &person(customer_no)).await.expect(201);
        assert_eq!(answer.json["name"], NAME);
    }

    async fn erase(&self, customer_no: &str) {
        self.server.delete(&format!("/v1/customers/{customer_no}")).await.expect(204);
    }

    async fn export(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let (status, _, log) = self.server.run(&["export", "--output", path.to_str().unwrap()]).await;
        assert!(status.success(), "{log}");
        path
    }

    async fn verify(&self) -> String {
        let (status, said, log) = self.server.run(&["verify"]).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(status.success() && said.contains(" 0 violations"), "{said}{log}");
        said
    }
}

/// In which forms a value may stand in a file.
fn spellings(value: &[u8]) -> Vec<Vec<u8>> {
    let hex = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let mut found = vec![value.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
    // In base64 a value looks otherwise at each of three places; what depends on its neighbours is left away.
    for before in 0..3 {
        let encoded = STANDARD.encode([&vec![0; before][..], value].concat());
        let from = if before == 0 { 0 } else { before + 1 };
        found.push(encoded.trim_end_matches('=').as_bytes()[from..].to_vec());
        let last = found.last_mut().unwrap();
        last.truncate(last.len() - 1);
    }
    if let Ok(text) = std::str::from_utf8(value) {
        found.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        let escaped: Vec<_> = text.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect();
        found.push(escaped.concat().into_bytes());
        found.push(common::path("{}", text).into_bytes());
    }
    found
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path).unwrap().flat_map(|entry| files_below(&entry.unwrap().path())).collect()
}

/// The files below a path that hold a value in some spelling.
fn holding(path: &Path, value: &[u8]) -> Vec<PathBuf> {
    let wanted = spellings(value);
    let holds = |file: &PathBuf| {
        let bytes = fs::read(file).unwrap();
        wanted.iter().any(|wanted| bytes.windows(wanted.len()).any(|window| window == &wanted[..]))
    };
    files_below(path).into_iter().filter(holds).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn open(data: &Path) -> SledJournal {
    SledJournal::open(data, &SledSettings::new(&schema::shards(16))).unwrap()
}

/// What is stored as the key of a customer's data.
async fn stored_key(data: &Path, customer_no: &str) -> Option<Vec<u8>> {
    let journal = open(data);
    let key = journal.document(stored::KEY_KIND, customer_no).await.unwrap();
    journal.close().await.unwrap();
    key.map(|key| key.to_vec())
}

/// What whoever has a copy of the directory can read with these keys.
async fn readable(data: &Path, customer_no: &str, keys: &MasterKeys) -> Option<PersonalData> {
    let journal = open(data);
    let body = journal.document(stored::STATE_KIND, customer_no).await.unwrap().unwrap();
    let state = StateDocument::decode(&Customers, &body).unwrap().state;
    let key = journal.document(stored::KEY_KIND, customer_no).await.unwrap()?;
    journal.close().await.unwrap();
    let Some(Customer::Registered { sealed, .. }) = state.0 else { return None };
    let key = keys.unwrap_key((stored::KEY_KIND, customer_no), &key).ok()?;
    seal::open(&CustomerNo::stored(customer_no).unwrap(), &sealed, &key).ok()
}

/// A start that is refused.
fn refused(data: &Path, settings: &[(&str, &str)]) -> String {
    let mut command = rentcar();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).envs(settings.iter().copied());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() && begun.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One that has started after all ends here, and not by itself.
    let _ = child.kill();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let error = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{error}");
    error
}

#[tokio::test]
async fn after_an_erasure_nothing_personal_is_in_directory_export_or_log_and_copies_made_before_are_unreadable() {
    let mut company = Company::start().await;
    company.register("yerim").await;
    let keyed = company.server.post_keyed("/v1/customers", "registration-1", &person("keyed")).await;
    assert_eq!(keyed.status, 201, "{}", keyed.story());
    company.server.get("/v1/customers/yerim/page").await.expect(200);
    company.server.get("/v1/customers/yerim/data").await.expect(200);
    company.server.terminate().await;
    let data = company.server.data();
    let before = company.folder.path().join("before");
    copy(&data, &before);
    let exported = company.export("before.jsonl").await;
    let master_keys = MasterKeys::parse(SOME_MASTER_KEY).unwrap();
    assert_eq!(readable(&before, "yerim", &MasterKeys::none()).await, None);
    assert_eq!(readable(&before, "yerim", &MasterKeys::parse(OTHER_MASTER_KEY).unwrap()).await, None);
    let read = readable(&before, "yerim", &master_keys).await.expect("the master key opens it");
    assert_eq!(read.name, NAME, "so it is there, and nothing but the key keeps others from it");
    let data_key = {
        let stored = stored_key(&before, "yerim").await.unwrap();
        master_keys.unwrap_key((stored::KEY_KIND, "yerim"), &stored).unwrap()
    };
    company.server.restart().await;
    company.erase("yerim").await;
    company.erase("keyed").await;
    company.server.terminate().await;
    assert_eq!(stored_key(&data, "yerim").await, None);
    let after = company.export("after.jsonl").await;
    let log = company.folder.path().join("log");
    fs::write(&log, company.server.log()).unwrap();
    for path in [&data, &before, &exported, &after, &log] {
        for value in VALUES {
            assert_eq!(holding(path, value.as_bytes()), [] as [PathBuf; 0], "{value}");
        }
        assert_eq!(holding(path, data_key.bytes()), [] as [PathBuf; 0], "the key of the data");
        assert_eq!(holding(path, &STANDARD.decode(SOME_MASTER_KEY).unwrap()), [] as [PathBuf; 0], "the master key");
        assert_eq!(holding(path, SOME_MASTER_KEY.as_bytes()), [] as [PathBuf; 0], "the master key");
    }
    let found = company.folder.path().join("found");
    fs::write(&found, format!("{}{}", VALUES[1], STANDARD.encode(format!("x{}", VALUES[2])))).unwrap();
    assert!(VALUES[1..3].iter().all(|value| !holding(&found, value.as_bytes()).is_empty()), "the search finds");
    let said = company.verify().await;
    assert!(said.contains("0 customers' data opened, 0 findings"), "{said}");
}

#[tokio::test]
async fn a_restored_backup_and_a_directory_that_is_copied_back_stay_erased() {
    let mut company = Company::start().await;
    for customer_no in ["yerim", "stays"] {
        company.register(customer_no).await;
    }
    let car_no = company.server.register_car().await;
    let booked = hold(&car_no, "yerim", &in_days(10), &in_days(12));
    let booked = company.server.post("/v1/reservations", &booked).await.expect(202).json["reservationNo"].clone();
    company.server.terminate().await;
    let before = company.folder.path().join("before");
    copy(&company.server.data(), &before);
    let archive = company.export("before.jsonl").await;
    company.server.restart().await;
    let booked = booked.as_str().unwrap();
    company.server.post_empty(&format!("/v1/reservations/{booked}/cancellation")).await.expect(200);
    company.erase("yerim").await;
    let erased_again = async |company: &Company| {
        let answer = company.server.get("/v1/customers/yerim").await;
        assert_eq!((answer.status, &answer.json["code"]), (410, &json!("customer_erased")));
        assert_eq!(company.server.get("/v1/customers/stays").await.expect(200).json["name"], NAME);
    };
    company.server.terminate().await;
    fs::remove_dir_all(company.server.data()).unwrap();
    let (status, said, log) = company.server.run(&["import", "--input", archive.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status.success() && said.contains("1 customers erased again"), "{said}{log}");
    assert_eq!(stored_key(&company.server.data(), "yerim").await, None, "also before the service starts");
    company.verify().await;
    company.server.restart().await;
    erased_again(&company).await;
    company.server.terminate().await;
    fs::remove_dir_all(company.server.data()).unwrap();
    copy(&before, &company.server.data());
    company.server.restart().await;
    erased_again(&company).await;
    company.server.terminate().await;
    company.verify().await;
    // A store that never knew who was erased: whoever registered there would be erased at the next start.
    fs::remove_dir_all(company.server.data()).unwrap();
    company.server.restart().await;
    company.server.post("/v1/customers", &person("yerim")).await.refused(410, "customer_erased");
    company.server.post("/v1/customers", &person("new")).await.expect(201);
}

#[tokio::test]
async fn a_store_of_before_has_its_keys_wrapped_in_one_pass_and_no_key_of_before_is_left_on_the_disk() {
    // As the release before left it: keys are stored as they are.
    let mut server = TestServer::start().await;
    for number in 0..40 {
        server.post("/v1/customers", &person(&format!("c{number}"))).await.expect(201);
    }
    server.terminate().await;
    let (mut bare, data) = (Vec::new(), server.data());
    for number in [0, 17, 39] {
        let key = stored_key(&data, &format!("c{number}")).await.unwrap();
        assert_eq!(key.len(), 32);
        assert!(!holding(&data, &key).is_empty());
        bare.push(key);
    }
    let keyed = Options::default().setting("PRIVACY__MASTER_KEY", SOME_MASTER_KEY);
    server.restart_with(keyed).await;
    for number in 0..40 {
        assert_eq!(server.get(&format!("/v1/customers/c{number}")).await.expect(200).json["name"], NAME);
    }
    server.terminate().await;
    for key in bare {
        assert_eq!(holding(&data, &key), [] as [PathBuf; 0]);
    }
    let (status, said, log) = server.run(&["verify"]).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status.success() && said.contains(" 0 violations"), "{said}{log}");
    assert!(said.contains("40 keys of personal data wrapped by the master key"), "{said}");
    assert!(said.contains("40 customers' data opened, 0 findings"), "{said}");
}

#[tokio::test]
async fn the_store_of_the_last_release_opens_and_its_keys_are_wrapped() {
    let mut server = TestServer::on_copy_of("store-format-2.tar.gz").await;
    server.post("/v1/customers", &person("yerim")).await.expect(201);
    server.restart_with(Options::default().setting("PRIVACY__MASTER_KEY", SOME_MASTER_KEY)).await;
    assert_eq!(server.get("/v1/customers/yerim").await.expect(200).json["name"], NAME);
    server.reservation("later").await.expect(200);
    server.terminate().await;
    assert_ne!(stored_key(&server.data(), "yerim").await.unwrap().len(), 32);
    let (status, said, log) = server.run(&["verify"]).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status.success() && said.contains(" 0 violations") && said.contains(" opened, 0 findings"), "{said}{log}");
    assert!(!said.contains("stored as they are"), "{said}");
}

#[tokio::test]
async fn a_wrapping_that_is_killed_goes_on_at_the_next_start() {
    let mut server = TestServer::start().await;
    for number in 0..1_200 {
        server.post("/v1/customers", &customer(&format!("c{number:04}"))).await.expect(201);
    }
    server.terminate().await;
    let data = server.data();
    let log = data.with_file_name("log-of-the-killed");
    for wait_ms in [0, 40, 80, 120, 160, 200] {
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        command.env("RENTCAR__PRIVACY__MASTER_KEY", SOME_MASTER_KEY);
        let mut killed = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let at_work = async || {
            let log = fs::read_to_string(&log).unwrap();
            log.contains("wrapping the keys") || log.contains("ready to be tried")
        };
        eventually("it wraps, or has wrapped", SOON, at_work).await;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    server.restart_with(Options::default().setting("PRIVACY__MASTER_KEY", SOME_MASTER_KEY)).await;
    server.get("/v1/customers/c0000").await.expect(200);
    server.terminate().await;
    let (status, said, log) = server.run(&["verify"]).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(status.success() && said.contains("1200 customers' data opened, 0 findings"), "{said}{log}");
    assert!(!said.contains("stored as they are"), "{said}");
}

#[tokio::test]
async fn a_master_key_is_rotated_by_a_line_in_front_and_the_former_one_is_needed_no_more() {
    let mut company = Company::start().await;
    company.register("yerim").await;
    company.restart_with(&[OTHER_MASTER_KEY, SOME_MASTER_KEY]).await;
    company.register("minseo").await;
    company.restart_with(&[OTHER_MASTER_KEY]).await;
    for customer_no in ["yerim", "minseo"] {
        assert_eq!(company.server.get(&format!("/v1/customers/{customer_no}")).await.expect(200).json["name"], NAME);
    }
    company.server.terminate().await;
    assert_eq!(readable(&company.server.data(), "yerim", &MasterKeys::parse(SOME_MASTER_KEY).unwrap()).await, None);
    company.verify().await;
}

#[tokio::test]
async fn a_lost_master_key_is_told_at_the_start_with_what_is_lost_and_can_be_given_up() {
    let mut company = Company::start().await;
    company.register("yerim").await;
    company.server.terminate().await;
    let data = company.server.data();
    let id = MasterKeys::parse(SOME_MASTER_KEY).unwrap().current().unwrap().to_string();
    for settings in [&[][..], &[("RENTCAR__PRIVACY__MASTER_KEY", OTHER_MASTER_KEY)]] {
        let error = refused(&data, settings);
        for told in
            [&*id, "1 of 1 customers", "names, telephone numbers", "bookings, payments", "privacy.lost_master_keys"]
        {
            assert!(error.contains(told), "{told} is not in: {error}");
        }
    }
    let options = company.options(&[OTHER_MASTER_KEY]).setting("PRIVACY__LOST_MASTER_KEYS", &id);
    company.server.restart_with(options).await;
    let lost = company.server.get("/v1/customers/yerim").await;
    assert_eq!((lost.status, &lost.json["code"]), (410, &json!("personal_data_lost")), "{}", lost.story());
    company.register("minseo").await;
    let car_no = company.server.register_car().await;
    company.server.reserve(&car_no, "yerim", 10, 12).await.expect(201);
    let page = company.server.get("/v1/customers/yerim/page").await.expect(200);
    assert_eq!((&page.json["customer"], &page.json["erased"]), (&Value::Null, &json!(false)));
    company.restart_with(&[OTHER_MASTER_KEY, SOME_MASTER_KEY]).await;
    assert_eq!(company.server.get("/v1/customers/yerim").await.expect(200).json["name"], NAME, "it was found again");
    company.server.terminate().await;
    company.verify().await;
}

#[tokio::test]
async fn an_archive_of_before_can_be_imported_and_is_wrapped_at_the_next_start() {
    let mut server = TestServer::start().await;
    server.post("/v1/customers", &person("yerim")).await.expect(201);
    server.terminate().await;
    let archive = server.data().with_file_name("archive");
    let (status, _, log) = server.run(&["export", "--output", archive.to_str().unwrap()]).await;
    assert!(status.success(), "{log}");
    let options = Options::default().setting("PRIVACY__MASTER_KEY", SOME_MASTER_KEY);
    let mut restored = TestServer::restored(options, &archive).await;
    assert_eq!(restored.get("/v1/customers/yerim").await.expect(200).json["name"], NAME);
    restored.terminate().await;
    let (_, exported, _) = restored.run(&["export"]).await;
    let key = stored_key(&server.data(), "yerim").await.unwrap();
    assert_eq!(key.len(), 32);
    let path = server.data().with_file_name("exported");
    fs::write(&path, exported).unwrap();
    assert!(!holding(&archive, &key).is_empty() && holding(&path, &key).is_empty(), "an export has wrapped keys only");
}

#[tokio::test]
async fn the_master_key_comes_from_a_file_that_others_cannot_read_or_from_a_program() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("master.key"));
    let made = rentcar().args(["key", "master", "--file"]).arg(&file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();
    assert!(!String::from_utf8(made.stdout).unwrap().contains(key.trim()), "a key in a file is not printed");
    let of_file = [("RENTCAR__PRIVACY__MASTER_KEY_FILE", file.to_str().unwrap())];
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(&data, &of_file);
    assert!(error.contains("everybody can read") && error.contains("chmod o-rwx"), "{error}");
    fs::create_dir(&data).unwrap();
    fs::copy(&file, data.join("master.key")).unwrap();
    let inside = data.join("master.key");
    let error = refused(&data, &[("RENTCAR__PRIVACY__MASTER_KEY_FILE", inside.to_str().unwrap())]);
    assert!(error.contains("in the data directory"), "{error}");
    fs::remove_file(inside).unwrap();
    for (command, told) in [("false", "ended with"), ("cat /dev/zero", "bytes"), ("echo nothing", "line 1 is no key")] {
        let error = refused(&data, &[("RENTCAR__PRIVACY__MASTER_KEY_COMMAND", command)]);
        assert!(error.contains("privacy.master_key_command") && error.contains(told), "{error}");
    }
    let both = [of_file[0], ("RENTCAR__PRIVACY__MASTER_KEY", SOME_MASTER_KEY)];
    assert!(refused(&data, &both).contains("from one place only"));
    let bad = refused(&data, &[("RENTCAR__PRIVACY__MASTER_KEY", "secret-words")]);
    assert!(bad.contains("line 1 is no key") && !bad.contains("secret-words"), "{bad}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "a refusal leaves no store");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let mut server =
        TestServer::with(Options::default().setting("PRIVACY__MASTER_KEY_FILE", file.to_str().unwrap())).await;
    server.post("/v1/customers", &person("yerim")).await.expect(201);
    // A second key in front, as `rentcar key master` puts it, and the file by way of a program.
    let made = rentcar().args(["key", "master", "--file"]).arg(&file).output().unwrap();
    assert!(made.status.success());
    assert_eq!(fs::read_to_string(&file).unwrap().lines().nth(1), Some(key.trim()));
    let cat = format!("cat {}", file.display());
    server.restart_with(Options::default().setting("PRIVACY__MASTER_KEY_COMMAND", &cat)).await;
    server.get("/v1/customers/yerim").await.expect(200);
    let printed = rentcar().arg("config").env("RENTCAR__PRIVACY__MASTER_KEY", SOME_MASTER_KEY).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("master_key = \"(hidden)\"") && !printed.contains(SOME_MASTER_KEY), "{printed}");
}

#[tokio::test]
async fn a_service_that_is_not_open_does_not_start_without_a_master_key() {
    let folder = tempfile::tempdir().unwrap();
    let (data, keys) = (folder.path().join("data"), folder.path().join("api-keys"));
    fs::write(&keys, "").unwrap();
    let error = refused(&data, &[("RENTCAR__ACCESS__API_KEYS", keys.to_str().unwrap())]);
    assert!(error.contains("no master key") && error.contains("rentcar key master --file"), "{error}");
    assert!(!data.exists(), "a refusal leaves no store");
}

#[tokio::test]
async fn an_erasure_is_listed_when_it_is_answered() {
    let company = Company::start().await;
    company.register("yerim").await;
    company.erase("yerim").await;
    let list = fs::read_to_string(company.folder.path().join("erasures")).unwrap();
    assert!(list.contains("\"yerim\"") && list.contains("\"erased\""), "{list}");
    let inside = company.server.data().join("erasures");
    let error = refused(&company.server.data(), &[("RENTCAR__PRIVACY__ERASURE_LIST", inside.to_str().unwrap())]);
    assert!(error.contains("must outlive"), "{error}");
}

#[tokio::test]
async fn a_customer_has_a_copy_of_everything() {
    let company = Company::start().await;
    company.register("yerim").await;
    let mut booked = Vec::new();
    for day in 0..3 {
        let car_no = company.server.register_car().await;
        let answer = company.server.reserve(&car_no, "yerim", 10 + day, 11 + day).await.expect(201);
        booked.push(answer.json["reservationNo"].clone());
    }
    let copy = company.server.get("/v1/customers/yerim/data").await.expect(200);
    assert_eq!(copy.header("content-disposition"), "attachment; filename=\"customer-data.json\"");
    assert_eq!(copy.json["customer"]["name"], NAME);
    assert_eq!(copy.json["customer"]["licenceNo"], "**-**-****68-13", "who asks is not known to be the customer");
    let bookings = copy.json["bookings"].as_array().unwrap();
    booked.reverse();
    assert_eq!(bookings.iter().map(|it| it["reservation"]["reservationNo"].clone()).collect::<Vec<_>>(), booked);
    assert!(bookings.iter().all(|it| it["payment"]["status"] == "APPROVED" && it["rental"]["status"] == "RENTED"));
    let history = copy.json["history"].as_array().unwrap();
    for kind in ["reservation.confirmed", "payment.approved", "rental.rented"] {
        assert_eq!(history.iter().filter(|entry| entry["kind"] == kind).count(), 3, "{kind}");
    }
    company.server.get("/v1/customers/nobody/data").await.refused(404, "customer_not_found");
    let empty = company.server.register_customer().await;
    let copy = company.server.get(&format!("/v1/customers/{empty}/data")).await.expect(200);
    assert_eq!((&copy.json["bookings"], &copy.json["history"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_licence_number_is_masked_and_its_consent_recorded() {
    let server = TestServer::start().await;
    let with = |changes: Value| {
        let mut person = person(&unique("c"));
        person.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        person.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        person
    };
    let consented = server.post("/v1/customers", &with(json!({}))).await.expect(201).json;
    assert_eq!((&consented["licenceNo"], consented["licenceConsentAt"].is_string()), (&json!("**-**-****68-13"), true));
    let unsaid = server.post("/v1/customers", &with(json!({ "licenceConsent": null }))).await.expect(201).json;
    assert_eq!((&unsaid["licenceNo"], &unsaid["licenceConsentAt"]), (&json!("**-**-****68-13"), &Value::Null));
    let refused = with(json!({ "licenceConsent": false }));
    server.post("/v1/customers", &refused).await.refused(400, "licence_consent_required");
    let nothing = with(json!({ "licenceNo": null }));
    server.post("/v1/customers", &nothing).await.refused(400, "invalid_member");
    let strict = TestServer::with(Options::default().setting("PRIVACY__LICENCE_CONSENT_REQUIRED", "true")).await;
    let unsaid = with(json!({ "licenceConsent": null }));
    strict.post("/v1/customers", &unsaid).await.refused(400, "licence_consent_required");
    strict.post("/v1/customers", &with(json!({}))).await.expect(201);
}

#[tokio::test]
async fn a_list_is_completed_by_what_was_committed_and_a_new_one_takes_over_all_erasures() {
    let mut server = TestServer::start().await;
    for customer_no in ["erased", "cut-off", "never"] {
        server.post("/v1/customers", &person(customer_no)).await.expect(201);
    }
    for customer_no in ["erased", "cut-off"] {
        server.delete(&format!("/v1/customers/{customer_no}")).await.expect(204);
    }
    let (old, new) = (server.data().with_file_name("old-list"), server.data().with_file_name("new-list"));
    // Two erasures were announced, and the process ended before it could say whether they were committed.
    let list = ErasureList::open(&old).unwrap();
    list.add("cut-off", Step::Begun, 1).unwrap();
    list.add("never", Step::Begun, 1).unwrap();
    drop(list);
    let listed = |list: &Path| {
        let erased = ErasureList::read(list).unwrap().of(Step::Erased);
        erased.into_iter().map(|(customer_no, _)| customer_no).collect::<Vec<_>>()
    };
    let with = |list: &Path| Options::default().setting("PRIVACY__ERASURE_LIST", list.to_str().unwrap());
    server.restart_with(with(&old)).await;
    // What was erased before there was a list is in it as well.
    assert_eq!(listed(&old), ["cut-off", "erased"]);
    server.get("/v1/customers/never").await.expect(200);
    server.delete("/v1/customers/erased").await.expect(204);
    assert_eq!(listed(&old), ["cut-off", "erased"]);
    // One that was made by hand, or by a start that was cut off, is new as well.
    fs::write(&new, "").unwrap();
    server.restart_with(with(&new)).await;
    assert_eq!(listed(&new), ["cut-off", "erased"]);
    server.get("/v1/customers/never").await.expect(200);
}

#[tokio::test]
async fn the_root_secret_outlives_the_rotation_of_master_keys() {
    let directory = tempfile::tempdir().unwrap();
    let keys = |lines: &[&str]| MasterKeys::parse(&lines.join("\n")).unwrap();
    let (none, first, second) = (MasterKeys::none(), keys(&[SOME_MASTER_KEY]), keys(&[OTHER_MASTER_KEY]));
    let both = keys(&[OTHER_MASTER_KEY, SOME_MASTER_KEY]);
    let journal = open(directory.path());
    let bare = RootSecret::open(&journal, &none).await.unwrap().derive("mail");
    for keys in [&first, &both, &second] {
        wrapping::wrap(&journal, keys, &[]).await.unwrap();
        assert_eq!(RootSecret::open(&journal, keys).await.unwrap().derive("mail"), bare);
    }
    assert!(RootSecret::open(&journal, &first).await.is_err(), "the former key is needed no more, and opens nothing");
    let missing = wrapping::wrap(&journal, &first, &[]).await.unwrap_err().to_string();
    assert!(missing.contains(&second.current().unwrap().to_string()), "{missing}");
    let given_up = wrapping::wrap(&journal, &first, &[second.current().unwrap()]).await.unwrap();
    assert_eq!(given_up, Wrapped { keys: 0, lost: 1 });
    let lost = [second.current().unwrap()];
    assert!(RootSecret::open_or_replace(&journal, &first, &[]).await.is_err(), "it is not given up");
    let new = RootSecret::open_or_replace(&journal, &first, &lost).await.unwrap().derive("mail");
    assert_ne!(new, bare);
    assert_eq!(RootSecret::open_or_replace(&journal, &first, &lost).await.unwrap().derive("mail"), new);
    wrapping::wrap(&journal, &first, &[]).await.unwrap();
    journal.close().await.unwrap();
}
