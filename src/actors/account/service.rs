//! Signing up, in and out, and everything else that somebody does with an account. Passwords are checked and hashed in front
//! of the entities, which know hashes only.

use super::Accounts;
use super::delivery::{ResetDrop, ResetMessage};
use super::follows_customer::erasing;
use super::hashing::{PasswordHasher, Turn};
use super::password::{HashCost, Password};
use super::secret::{MailKey, canonical, new_token, token_hash};
use super::sessions::Sessions;
use super::throttle::Throttle;
use crate::actors::api::{Caller, ServiceError};
use crate::actors::committed::committed;
use crate::actors::customer::master_key::RootSecret;
use crate::actors::reservation::instant;
use crate::actors::runtime::{Ask, Clock, ContextHandle, StateDocument};
use crate::domain::account::{
    Account, Command, MailHash, Open, PasswordHash, Proof, Rejection, Role, State, TokenHash,
};
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::domain::who::{Who, WhoKind};
use crate::store::journal::{Journal, ReadError};
use crate::store::schema::account::{
    CUSTOMER_INDEX, MAIL_INDEX, MAIL_KIND, PASSWORD_KIND, RESET_INDEX, STATE_KIND, hash_key,
};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

pub use super::sessions::SessionOf;

pub(super) type Result<T> = std::result::Result<T, ServiceError>;

/// Who asks, as events keep it.
type Author = Option<Arc<str>>;

/// How long a step of the Account context may take.
const ASK_MAX: Duration = Duration::from_secs(5);
/// When whoever finds too many signing in may try again, in milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;
/// The most resets that are being sent, and the most uses of sessions that are being noted.
const ASIDE_MAX: usize = 64;

/// How accounts are kept.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    pub cost: HashCost,
    pub threads: usize,
    /// How long a session holds at most, in milliseconds.
    pub session_ms: i64,
    /// How long a session may be idle, in milliseconds.
    pub idle_ms: i64,
    /// How long a reset may wait, in milliseconds.
    pub reset_ms: i64,
    /// None where passwords are not reset.
    pub reset_drop: Option<ResetDrop>,
}

/// A password as its owner has chosen it. Has no `Debug` of its content.
pub type NewPassword = Password;

/// Somebody who has just signed in. Has no `Debug`, so that the token cannot be logged.
pub struct SignedIn {
    pub token: String,
    pub of: SessionOf,
}

/// An account as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    pub account_no: Arc<str>,
    pub account: Account,
}

/// What is read of an account to sign in.
struct Credentials {
    account_no: Arc<str>,
    open: Open,
    password: PasswordHash,
}

/// The keys of hashes that only the service can make.
#[derive(Debug, Clone)]
pub struct AccountKeys {
    pub mail: MailKey,
    /// Of form tokens.
    pub form: SecretKey,
    /// Of the links of calendars.
    pub calendar: SecretKey,
}

/// A key that is never shown.
#[derive(Clone, Copy)]
pub struct SecretKey(pub [u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl From<&RootSecret> for AccountKeys {
    fn from(root: &RootSecret) -> AccountKeys {
        let mail = MailKey::new(root.derive("account mail address"));
        let [form, calendar] = ["form token", "calendar"].map(|of| SecretKey(root.derive(of)));
        AccountKeys { mail, form, calendar }
    }
}

struct Parts {
    keys: AccountKeys,
    accounts: ContextHandle<Accounts>,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    hasher: PasswordHasher,
    sessions: Sessions,
    settings: AccountSettings,
    /// Of passwords that are tried.
    attempts: Throttle,
    /// Of accounts that are opened, and of resets that are asked for.
    requests: Throttle,
    aside: Arc<Semaphore>,
}

/// Everything that is done with accounts. Cheap to clone.
#[derive(Clone)]
pub struct AccountService {
    parts: Arc<Parts>,
}

impl AccountService {
    /// Starts the threads that hash passwords.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        accounts: ContextHandle<Accounts>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        (settings, keys): (AccountSettings, AccountKeys),
    ) -> io::Result<AccountService> {
        let hasher = PasswordHasher::start(settings.cost, settings.threads)?;
        let sessions = Sessions::new(Arc::clone(&journal), settings.idle_ms);
        let (attempts, requests, aside) = (Throttle::default(), Throttle::default(), Semaphore::new(ASIDE_MAX));
        let aside = Arc::new(aside);
        let parts = Parts { keys, accounts, journal, clock, hasher, sessions, settings, attempts, requests, aside };
        Ok(AccountService { parts: Arc::new(parts) })
    }

    /// The key of form tokens.
    pub fn form_key(&self) -> SecretKey {
        self.parts.keys.form
    }

    pub(super) fn calendar_key(&self) -> [u8; 32] {
        self.parts.keys.calendar.0
    }

    fn now(&self) -> Timestamp {
        instant(self.parts.clock.now_ms())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.parts.clock.now_ms()).unwrap_or(0)
    }

    fn in_ms(&self, ms: i64) -> Timestamp {
        instant(self.parts.clock.now_ms().saturating_add(ms))
    }

    /// Asks an account in somebody's name, or in nobody's.
    pub(super) async fn ask(&self, by: Author, account_no: &str, command: Command) -> Result<Account> {
        let context = crate::store::schema::ACCOUNT;
        let answer = self.parts.accounts.ask(account_no, command, Ask::external(ASK_MAX).asked_by(by)).await;
        let account = answer.map_err(|error| ServiceError::not_asked(context, error))??;
        account.ok_or(ServiceError::Account(Rejection::AccountNotFound))
    }

    /// Counts an attempt to sign in, unless there were too many.
    fn attempt(&self, mail: Option<&MailHash>, address: u128) -> Result<Turn> {
        let counted = self.parts.attempts.attempt(mail, address, self.now_ms());
        let rank = counted.map_err(|retry_after_ms| ServiceError::TooManyAttempts { retry_after_ms })?;
        Ok(Turn { address, rank })
    }

    /// Checks a password against a hash, or spends the time of it. A right one lets the account be tried anew.
    async fn check(
        &self,
        mail: &MailHash,
        turn: Turn,
        typed: Option<Password>,
        hash: Option<PasswordHash>,
    ) -> Result<bool> {
        let hash = hash.filter(|_| typed.is_some());
        let typed = typed.or_else(|| Password::typed("")).ok_or(ServiceError::SignInFailed)?;
        let Ok(is_right) = self.parts.hasher.verify(turn, typed, hash).await else {
            self.parts.attempts.not_tried(Some(mail), turn.address);
            return Err(ServiceError::Overloaded { retry_after_ms: BUSY_RETRY_MS });
        };
        if is_right {
            self.parts.attempts.succeeded(Some(mail), turn.address);
        }
        Ok(is_right)
    }

    async fn hash(&self, turn: Turn, password: Password) -> Result<PasswordHash> {
        let hash = self.parts.hasher.hash(turn, password).await;
        hash.map_err(|_| ServiceError::Overloaded { retry_after_ms: BUSY_RETRY_MS })
    }

    pub(super) async fn account(&self, account_no: &str) -> Result<Option<Account>> {
        let state = committed(&*self.parts.journal, &Accounts, account_no).await?;
        Ok(state.and_then(|state| state.0))
    }

    pub(super) async fn open_account(&self, account_no: &str) -> Result<Open> {
        match self.account(account_no).await? {
            Some(Account::Open(open)) => Ok(open),
            Some(Account::Erased { .. }) | None => Err(Rejection::AccountNotFound.into()),
        }
    }

    async fn credentials(&self, account_no: Arc<str>) -> Result<Option<Credentials>> {
        let Some(Account::Open(open)) = self.account(&account_no).await? else { return Ok(None) };
        let password = self.parts.journal.document(PASSWORD_KIND, &account_no).await?;
        let password = password.and_then(|hash| String::from_utf8(hash.to_vec()).ok()).map(PasswordHash);
        Ok(password.map(|password| Credentials { account_no, open, password }))
    }

    async fn number_of(&self, mail: &MailHash) -> Result<Option<Arc<str>>> {
        Ok(self.parts.journal.lookup(MAIL_INDEX, &hash_key(&mail.0)).await?)
    }

    /// Signs in. Whoever has no account waits as long as whoever has typed the wrong password.
    ///
    /// # Errors
    /// `SignInFailed`, `TooManyAttempts`, `Overloaded`; and of whoever knows the password `AccountDisabled`.
    pub async fn sign_in(&self, address: u128, mail_address: &str, password: &str) -> Result<SignedIn> {
        let mail = self.parts.keys.mail.hash(mail_address);
        let turn = self.attempt(Some(&mail), address)?;
        let found = match self.number_of(&mail).await? {
            Some(account_no) => self.credentials(account_no).await?,
            None => None,
        };
        let hash = found.as_ref().map(|found| found.password.clone());
        let is_right = self.check(&mail, turn, Password::typed(password), hash).await?;
        let Credentials { account_no, open, .. } = found.filter(|_| is_right).ok_or(ServiceError::SignInFailed)?;
        self.start_session(account_no, &open).await
    }

    async fn start_session(&self, account_no: Arc<str>, open: &Open) -> Result<SignedIn> {
        let (token, id) = new_token();
        let (password_at, expires_at) = (open.password_at, self.in_ms(self.parts.settings.session_ms));
        let account = self
            .ask(
                Some(owner(&open.role, &account_no)),
                &account_no,
                Command::StartSession { id, password_at, expires_at },
            )
            .await?;
        let session = account.open().and_then(|open| open.session(&id)).cloned();
        let session = session.ok_or(ServiceError::Account(Rejection::AccountNotFound))?;
        Ok(SignedIn { token, of: SessionOf { account_no, role: open.role.clone(), session } })
    }

    /// Whether an account may be opened from an address now.
    ///
    /// # Errors
    /// `TooManyAttempts`.
    pub fn may_sign_up(&self, address: u128) -> Result<Turn> {
        let counted = self.parts.requests.attempt(None, address, self.now_ms());
        let rank = counted.map_err(|retry_after_ms| ServiceError::TooManyAttempts { retry_after_ms })?;
        Ok(Turn { address, rank })
    }

    /// Opens an account, in the name of an operator, or of its owner.
    ///
    /// # Errors
    /// `MailAddressTaken`, `CustomerHasAccount`, `Overloaded`.
    pub async fn open(
        &self,
        (turn, operator): (Turn, Option<&Caller>),
        mail_address: &str,
        password: Password,
        role: Role,
    ) -> Result<AccountView> {
        let mail = self.parts.keys.mail.hash(mail_address);
        // The claim decides; this spares the hash.
        if self.number_of(&mail).await?.is_some() {
            return Err(Rejection::MailAddressTaken.into());
        }
        let password = self.hash(turn, password).await?;
        let account_no: Arc<str> = format!("a{}", uuid::Uuid::now_v7().simple()).into();
        let by = operator.map_or_else(|| Some(owner(&role, &account_no)), Caller::author);
        let account = self.ask(by, &account_no, Command::Open { role, mail, password }).await?;
        Ok(AccountView { account_no, account })
    }

    /// Opens an account and signs in.
    ///
    /// # Errors
    /// As of [`AccountService::open`].
    pub async fn first_session(&self, opened: &AccountView) -> Result<SignedIn> {
        let open = opened.account.open().ok_or(ServiceError::Account(Rejection::AccountNotFound))?;
        self.start_session(Arc::clone(&opened.account_no), open).await
    }

    /// The session with a token, if it holds. That it is used is noted now and then.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn session(&self, token: &str) -> std::result::Result<Option<SessionOf>, ReadError> {
        let now = self.now();
        let found = self.parts.sessions.find(token, now).await?;
        if let Some(of) = found.as_ref().filter(|of| self.parts.sessions.is_due_for_note(&of.session, now))
            && let Ok(permit) = Arc::clone(&self.parts.aside).try_acquire_owned()
        {
            let (service, account_no, id) = (self.clone(), Arc::clone(&of.account_no), of.session.id);
            tokio::spawn(async move {
                if let Err(error) = service.ask(None, &account_no, Command::UseSession { id }).await {
                    tracing::debug!(%error, "use of a session not noted, the next one will be");
                }
                drop(permit);
            });
        }
        Ok(found)
    }

    /// When a session that is not used any more is over.
    pub fn ends_at(&self, of: &SessionOf) -> Timestamp {
        self.parts.sessions.ends_at(&of.session)
    }

    /// Waits until a session is ended, or its account disabled or erased.
    pub async fn until_ended(&self, account_no: &str, id: &TokenHash) {
        self.parts.sessions.until_ended(account_no, id).await;
    }

    /// The sessions of an account that hold, the oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn sessions(&self, account_no: &Arc<str>) -> Result<Vec<SessionOf>> {
        let (open, now) = (self.open_account(account_no).await?, self.now());
        let of = |session| SessionOf { account_no: Arc::clone(account_no), role: open.role.clone(), session };
        let all = open.sessions.iter().cloned().map(of);
        Ok(all.filter(|of| now < self.ends_at(of)).collect())
    }

    /// Ends a session; one that is over is none.
    ///
    /// # Errors
    /// When it cannot be done now.
    pub async fn end_session(&self, caller: &Caller, account_no: &str, id: TokenHash) -> Result<()> {
        self.ask(caller.author(), account_no, Command::EndSession { id }).await.map(drop)
    }

    /// Ends all sessions but one.
    ///
    /// # Errors
    /// When it cannot be done now.
    pub async fn end_other_sessions(&self, caller: &Caller, account_no: &str, keep: TokenHash) -> Result<()> {
        self.ask(caller.author(), account_no, Command::EndOtherSessions { keep }).await.map(drop)
    }

    /// Sets another password with the old one, and ends all other sessions.
    ///
    /// # Errors
    /// `SignInFailed` when the old one is wrong; as of [`AccountService::sign_in`].
    pub async fn change_password(&self, address: u128, of: &SessionOf, old: &str, new: Password) -> Result<()> {
        let account_no = &of.account_no;
        let mail = self.mail_of(account_no).await?.ok_or(ServiceError::Account(Rejection::AccountNotFound))?;
        let turn = self.attempt(Some(&mail), address)?;
        let found = self.credentials(Arc::clone(account_no)).await?;
        let found = found.ok_or(ServiceError::Account(Rejection::AccountNotFound))?;
        if !self.check(&mail, turn, Password::typed(old), Some(found.password)).await? {
            return Err(ServiceError::SignInFailed);
        }
        let password = self.hash(Turn::first(address), new).await?;
        let proof = Proof::OldPassword { password_at: found.open.password_at, keep: Some(of.session.id) };
        self.ask(Some(owner(&of.role, account_no)), account_no, Command::SetPassword { proof, password })
            .await
            .map(drop)
    }

    async fn mail_of(&self, account_no: &str) -> Result<Option<MailHash>> {
        let mail = self.parts.journal.document(MAIL_KIND, account_no).await?;
        Ok(mail.and_then(|hash| Some(MailHash(<[u8; 32]>::try_from(&*hash).ok()?))))
    }

    /// Sends whoever has a mail address a token that allows to set a password, if there is an account under it. That is done
    /// aside, so that the time of the answer does not tell whether there is.
    ///
    /// # Errors
    /// `ResetsNotOffered`, `TooManyAttempts`, `Overloaded`.
    pub fn send_reset(&self, address: u128, mail_address: &str) -> Result<()> {
        let Some(drop_box) = self.parts.settings.reset_drop.clone() else { return Err(ServiceError::ResetsNotOffered) };
        // In the one spelling that was hashed: a mail host may give another to somebody else.
        let (to, mail) = (canonical(mail_address), self.parts.keys.mail.hash(mail_address));
        self.may_sign_up(address)?;
        // One account gets few messages, however many ask, and nobody hears of that.
        if self.parts.requests.attempt(Some(&mail), u128::from_le_bytes(prefix(&mail)), self.now_ms()).is_err() {
            return Ok(());
        }
        let permit = Arc::clone(&self.parts.aside).try_acquire_owned();
        let permit = permit.map_err(|_| ServiceError::Overloaded { retry_after_ms: BUSY_RETRY_MS })?;
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(error) = service.allow_reset(&drop_box, to, &mail).await {
                tracing::error!(%error, "a password reset was not sent");
            }
            drop(permit);
        });
        Ok(())
    }

    async fn allow_reset(&self, drop_box: &ResetDrop, to: String, mail: &MailHash) -> anyhow::Result<()> {
        let Some(account_no) = self.number_of(mail).await? else { return Ok(()) };
        let (token, hash) = new_token();
        let expires_at = self.in_ms(self.parts.settings.reset_ms);
        match self.ask(None, &account_no, Command::AllowReset { token: hash, expires_at }).await {
            Ok(_) => {}
            Err(ServiceError::Account(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let (drop_box, message) = (drop_box.clone(), ResetMessage { to, token, expires_at });
        tokio::task::spawn_blocking(move || drop_box.put(&message)).await??;
        Ok(())
    }

    /// Whether passwords can be reset.
    pub fn offers_resets(&self) -> bool {
        self.parts.settings.reset_drop.is_some()
    }

    /// Sets another password with the token of a reset, and ends all sessions.
    ///
    /// # Errors
    /// `ResetTokenInvalid`, `TooManyAttempts`, `Overloaded`.
    pub async fn reset_password(&self, address: u128, token: &str, new: Password) -> Result<()> {
        let invalid = || ServiceError::Account(Rejection::ResetTokenInvalid);
        self.attempt(None, address)?;
        let hash = token_hash(token).ok_or_else(invalid)?;
        let found = self.parts.journal.lookup(RESET_INDEX, &hash_key(&hash.0)).await?;
        let account_no = found.ok_or_else(invalid)?;
        let open = self.open_account(&account_no).await?;
        if !open.may_reset(&hash, self.now()) {
            return Err(invalid());
        }
        let password = self.hash(Turn::first(address), new).await?;
        self.ask(
            Some(owner(&open.role, &account_no)),
            &account_no,
            Command::SetPassword { proof: Proof::Reset(hash), password },
        )
        .await?;
        self.parts.attempts.succeeded(self.mail_of(&account_no).await?.as_ref(), address);
        Ok(())
    }

    /// Sets another password by an operator's word, and ends all sessions.
    ///
    /// # Errors
    /// `AccountNotFound`, `Overloaded`.
    pub async fn set_password(&self, operator: &Caller, account_no: &str, new: Password) -> Result<()> {
        let password = self.hash(Turn::OPERATOR, new).await?;
        self.ask(operator.author(), account_no, Command::SetPassword { proof: Proof::Operator, password })
            .await
            .map(drop)
    }

    /// Lets nobody sign in, which ends all sessions; or lets somebody sign in again.
    ///
    /// # Errors
    /// `AccountNotFound`.
    pub async fn set_disabled(&self, operator: &Caller, account_no: &str, disabled: bool) -> Result<AccountView> {
        let command = if disabled { Command::Disable } else { Command::Enable };
        let account = self.ask(operator.author(), account_no, command).await?;
        Ok(AccountView { account_no: account_no.into(), account })
    }

    /// Accounts in the order of their numbers, from behind one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<AccountView>> {
        let page = self.parts.journal.documents(STATE_KIND, after, limit).await?;
        let view = |(account_no, body): (Arc<str>, bytes::Bytes)| {
            let document = StateDocument::decode(&Accounts, &body);
            let State(account) = document.map_err(|error| ReadError::Damaged(error.to_string()))?.state;
            let account = account.ok_or_else(|| ReadError::Damaged("an account without a state".to_owned()))?;
            Ok(AccountView { account_no, account })
        };
        page.into_iter().map(view).collect()
    }

    /// The account under a mail address.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find(&self, mail_address: &str) -> Result<Option<AccountView>> {
        let mail = self.parts.keys.mail.hash(mail_address);
        let Some(account_no) = self.number_of(&mail).await? else { return Ok(None) };
        let account = self.account(&account_no).await?;
        Ok(account.map(|account| AccountView { account_no, account }))
    }

    /// The account of a customer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of_customer(&self, customer_no: &CustomerNo) -> Result<Option<AccountView>> {
        let found = self.parts.journal.lookup(CUSTOMER_INDEX, customer_no.as_str()).await?;
        let Some(account_no) = found else { return Ok(None) };
        let account = self.account(&account_no).await?;
        Ok(account.map(|account| AccountView { account_no, account }))
    }

    /// Erases the account of a customer, if there is one.
    ///
    /// # Errors
    /// When it cannot be done now.
    pub(in crate::actors) async fn erase_of_customer(&self, customer_no: &CustomerNo) -> Result<()> {
        let found = self.parts.journal.lookup(CUSTOMER_INDEX, customer_no.as_str()).await?;
        match found {
            Some(account_no) => self.erase(&account_no).await,
            None => Ok(()),
        }
    }

    pub(in crate::actors) async fn erase(&self, account_no: &str) -> Result<()> {
        let command = erasing(&*self.parts.journal, account_no).await?;
        self.ask(None, account_no, command).await.map(drop)
    }
}

/// The owner of an account, as its session is known.
fn owner(role: &Role, account_no: &str) -> Arc<str> {
    let (kind, id) = match role {
        Role::Customer(customer_no) => (WhoKind::Customer, customer_no.as_str()),
        Role::Staff | Role::Operator => (WhoKind::Staff, account_no),
    };
    Who { kind, id: id.to_owned() }.to_string().into()
}

/// What stands for an account where addresses are counted.
fn prefix(mail: &MailHash) -> [u8; 16] {
    let (prefix, _) = mail.0.split_at(16);
    prefix.try_into().unwrap_or_default()
}
