//! What is below the options in the help of every command: examples, defaults, the environment, and the exit codes.

const SETTINGS: &str =
    "  RENTCAR__SECTION__KEY is the setting section.key, as RENTCAR__SERVER__LISTEN=:9090 is server.listen.
  Variables go over the file of --config, options over both. `rentcar config` prints every setting in force.";
const NO_SETTINGS: &str = "  No variable is read.";
const FAILED: &str = "it failed; one line on standard error says why";
/// A further exit code of commands that run until they are stopped.
const SERVER_CODES: &str = "\n  130  it was told to stop a second time, and ended at once";
const SERVE_DEFAULTS: &str =
    "  --listen 127.0.0.1:8080 (server.listen), --data ./data (store.data), the sandbox payment provider inside.
  Of the addresses that a name leads to, the first is listened on, IPv4 before IPv6. Addresses that others can
  reach are refused unless there are keys (access.token_keys, access.jwks_url, access.api_keys).";
const DATA_DEFAULTS: &str = "  --data ./data (store.data)";

fn sections(examples: &str, defaults: &str, environment: &str, failed: &str, more_codes: &str) -> String {
    format!(
        "Examples:\n{examples}\n\nDefaults:\n{defaults}\n\nEnvironment:\n{environment}\n\nExit codes:\n  0  it is done\n  \
         1  {failed}\n  2  the command line is not understood{more_codes}"
    )
}

pub fn rentcar() -> String {
    let examples = "  rentcar                     # start the service at http://127.0.0.1:8080, with its data in ./data\n  \
                    rentcar demo                # in another terminal: walk the whole story against it\n  \
                    rentcar serve --help        # what there is to say of one command";
    sections(examples, SERVE_DEFAULTS, SETTINGS, FAILED, SERVER_CODES)
}

pub fn serve() -> String {
    let examples = "  rentcar serve --listen localhost:9090 --data /srv/rentcar\n  \
                    RENTCAR__RESERVATION__HOLD_SECONDS=600 rentcar serve --config rentcar.toml";
    sections(examples, SERVE_DEFAULTS, SETTINGS, FAILED, SERVER_CODES)
}

pub fn provider() -> String {
    let examples = "  rentcar provider\n  \
                    rentcar serve --payment-provider http://127.0.0.1:8090     # in another terminal";
    let defaults = "  --listen 127.0.0.1:8090; any other address must be a loopback one too";
    sections(examples, defaults, NO_SETTINGS, FAILED, SERVER_CODES)
}

pub fn verify() -> String {
    let failed = "it failed, or something is not as it must be; one line on standard error says why";
    sections("  rentcar verify --data /srv/rentcar", DATA_DEFAULTS, SETTINGS, failed, "")
}

pub fn export() -> String {
    let examples = "  rentcar export --output backup.jsonl\n  rentcar export | gzip > backup.jsonl.gz";
    let defaults = "  --data ./data (store.data), to standard output. A file that exists is not overwritten.";
    sections(examples, defaults, SETTINGS, FAILED, "")
}

pub fn backup() -> String {
    let examples = "  rentcar backup --output backup.jsonl\n  rentcar backup --output /var/backups/rentcar\n  \
                    rentcar backup --url http://127.0.0.1:9090 | gzip > backup.jsonl.gz";
    let defaults = "  --url http://127.0.0.1:8080, to standard output. A file that exists is not overwritten.";
    sections(examples, defaults, NO_SETTINGS, FAILED, "")
}

pub fn import() -> String {
    let examples = "  rentcar import --data ./restored --input backup.jsonl\n  \
                    gunzip < backup.jsonl.gz | rentcar import --data ./restored";
    let defaults = "  --data ./data (store.data), which must be empty or not be there yet, from standard input";
    sections(examples, defaults, SETTINGS, FAILED, "")
}

pub fn rebuild_views() -> String {
    sections("  rentcar rebuild-views --data /srv/rentcar", DATA_DEFAULTS, SETTINGS, FAILED, "")
}

pub fn reconcile() -> String {
    let examples = "  rentcar reconcile --service http://127.0.0.1:8080\n  \
                    rentcar reconcile --data ./data --payment-provider http://127.0.0.1:8090";
    let defaults =
        "  --data ./data (store.data), and the provider that payment.provider_url names, unless --service is given";
    let failed = "it failed, or the two differ; one line on standard error says why";
    sections(examples, defaults, SETTINGS, failed, "")
}

pub fn config() -> String {
    let examples = "  rentcar config\n  rentcar config --listen :9090 > rentcar.toml";
    sections(examples, SERVE_DEFAULTS, SETTINGS, FAILED, "")
}

pub fn openapi() -> String {
    sections("  rentcar openapi > openapi.json", "  none", NO_SETTINGS, FAILED, "")
}

pub fn token() -> String {
    let examples = "  rentcar token --key keys/main.secret --issuer acme --subject minji --role staff\n  \
                    rentcar token --key keys/main.secret --issuer acme --subject kim --customer-no customer-1";
    sections(examples, "  --audience rentcar, --minutes 60", NO_SETTINGS, FAILED, "")
}

pub fn key() -> String {
    let examples = "  rentcar key new --file keys.txt --scope metrics prometheus\n  rentcar key list --file keys.txt\n  \
                    rentcar key revoke --file keys.txt prometheus\n  \
                    rentcar key master --file /etc/rentcar/master.key    # to rotate, do it again";
    sections(examples, "  none", NO_SETTINGS, FAILED, "")
}

pub fn user() -> String {
    let examples = "  rentcar user new --email jisoo@example.com --role operator     # asks for the password\n  \
                    cat password.txt | rentcar user new --email jisoo@example.com --role operator\n  \
                    rentcar user list --data /srv/rentcar\n  \
                    rentcar user disable --email jisoo@example.com";
    let defaults =
        "  --data ./data (store.data), which is made if it is not there. Needs accounts.enabled and the master key.";
    sections(examples, defaults, SETTINGS, FAILED, "")
}

pub fn demo() -> String {
    let examples = "  rentcar demo\n  rentcar demo --url http://127.0.0.1:9090\n  \
                    rentcar demo --stay     # a company to look at in a browser";
    let defaults = "  --url http://127.0.0.1:8080; with --stay also --listen 127.0.0.1:8080, and a directory\n  that is removed at the end";
    let failed = "it failed, or something is not as it should be; one line on standard error says why";
    sections(examples, defaults, NO_SETTINGS, failed, SERVER_CODES)
}
