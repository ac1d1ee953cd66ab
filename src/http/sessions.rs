//! Who has which session, for the HTTP kit.

use super::HttpState;
use crate::actors::api::ServiceError;
use crate::actors::service::{Service, SessionOf};
use crate::domain::account::{Role, TokenHash};
use crate::kit::access::sessions::{Found, Sessions};
use crate::kit::access::{Principal, Scopes, SessionRef};
use crate::kit::problem::Problem;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// The sessions of a service.
pub(super) struct OfService(Arc<Service>);

/// Has the front door know the sessions of an instance, where accounts are offered.
pub fn use_sessions(http: &HttpState) {
    if let (Some(sessions), Ok(accounts)) = (http.admission.authenticator.sessions(), http.service.accounts()) {
        sessions.ask(Arc::new(OfService(Arc::clone(&http.service))), accounts.form_key().0);
    }
}

/// What an account may do.
fn principal(of: &SessionOf) -> Principal {
    let subject = Arc::clone(&of.account_no);
    match &of.role {
        Role::Customer(customer_no) => {
            Principal::Customer { subject, customer_no: customer_no.clone(), registered: false }
        }
        Role::Staff => Principal::Staff { subject, scopes: Scopes::STAFF },
        Role::Operator => Principal::Staff { subject, scopes: Scopes::OPERATOR },
    }
}

impl Sessions for OfService {
    fn find<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Found>, Problem>> {
        async move {
            let accounts = self.0.accounts()?;
            let found = accounts.session(token).await.map_err(ServiceError::from)?;
            Ok(found.map(|of| {
                let expires = u64::try_from(accounts.ends_at(&of).as_millis() / 1_000).unwrap_or(0);
                let session = SessionRef { account_no: Arc::clone(&of.account_no), id: of.session.id.0 };
                Found { session, principal: principal(&of), expires }
            }))
        }
        .boxed()
    }

    fn until_ended<'a>(&'a self, session: &'a SessionRef) -> BoxFuture<'a, ()> {
        async move {
            if let Ok(accounts) = self.0.accounts() {
                accounts.until_ended(&session.account_no, &TokenHash(session.id)).await;
            }
        }
        .boxed()
    }
}
