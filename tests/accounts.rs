//! People who sign in with accounts of the service's own: sessions, passwords, and everything that is refused on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::client::Extra;
use common::company::{ANOTHER, Browser, Company, PASSWORD, address_of, user};
use common::sse::Events;
use common::{Options, SOON, TestServer, booking, eventually, hold, in_days, path, unique};
use rentcar::kit::route::{Access, BodyRule};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn ends(mut events: Events) {
    tokio::time::timeout(SOON, events.until_end()).await.expect("the stream ends");
}

#[tokio::test]
async fn a_customer_signs_up_books_and_comes_back() {
    let mut company = Company::start().await;
    let staff = {
        let operator = company.operator().await;
        let email = address_of("minho");
        let body = json!({ "email": email, "password": PASSWORD, "role": "staff" });
        operator.post("/v1/admin/accounts", &body).await.expect(201);
        company.sign_in(&email, PASSWORD).await
    };
    let car_no = unique("car");
    staff.post("/v1/cars", &common::car(&car_no)).await.expect(201);
    let email = address_of("Minji");
    let kim = company.sign_up(&email).await;
    let session = kim.get("/v1/session").await.expect(200);
    assert_eq!(session.text_at("/role"), "customer");
    assert_eq!(session.text_at("/formToken"), kim.form_token);
    let wish = booking(&car_no, &kim.customer_no, &in_days(3), &in_days(4));
    kim.post("/v1/reservations", &wish).await.expect(201);
    assert_eq!(kim.get(&path("/v1/customers/{}", &kim.customer_no)).await.expect(200).text_at("/email"), email);
    let copy = kim.get(&path("/v1/customers/{}/data", &kim.customer_no)).await.expect(200);
    assert_eq!(copy.json["account"]["sessions"].as_array().map(Vec::len), Some(1), "{}", copy.story());
    kim.get("/v1/fleet/ledger").await.refused(403, "forbidden");
    staff.get("/v1/fleet/ledger").await.expect(200);
    staff.get("/v1/admin/payment").await.refused(403, "forbidden");
    // Everything outlives a restart, and an address is the same in capital letters.
    company.server.terminate().await;
    let (verified, said, log) = company.server.run(&["verify"]).await;
    assert!(verified.success(), "{}{log}", String::from_utf8_lossy(&said));
    company.server.restart().await;
    let kim = Browser { api: company.server.api(), origin: company.server.api().url, ..kim };
    assert!(kim.is_signed_in().await);
    let again = company.sign_in(&email.to_uppercase(), PASSWORD).await;
    assert_eq!(again.customer_no, kim.customer_no);
    assert!(!company.server.log().contains(&email) && !company.server.log().contains(PASSWORD));
}

#[tokio::test]
async fn who_does_not_know_the_password_is_told_what_a_stranger_is_told() {
    let company = Company::start().await;
    let email = address_of("kim");
    company.sign_up(&email).await;
    let wrong = company.try_sign_in(&email, ANOTHER).await.refused(401, "sign_in_failed");
    let unknown = company.try_sign_in(&address_of("nobody"), PASSWORD).await.refused(401, "sign_in_failed");
    assert_eq!((wrong.text, wrong.status), (unknown.text, unknown.status));
    assert!(!wrong.headers.contains_key("set-cookie"));
    company.try_sign_in(&email, &"x".repeat(200)).await.refused(401, "sign_in_failed");
    company.try_sign_in(&email, &"x".repeat(300)).await.refused(400, "invalid_member");
    let taken = json!({ "email": email, "password": PASSWORD, "name": "Lee", "phone": "010" });
    company.server.post("/v1/accounts", &taken).await.refused(409, "mail_address_taken");
    for bad in ["short", "password1", "aaaaaaaaaa", &email] {
        let body = json!({ "email": email, "password": bad, "name": "Lee", "phone": "010" });
        let refused = company.server.post("/v1/accounts", &body).await.refused(400, "invalid_member");
        assert_eq!(refused.text_at("/member"), "password");
        assert!(!refused.text.contains(bad), "{}", refused.story());
    }
}

#[tokio::test]
async fn an_account_that_is_tried_too_often_is_left_alone_for_a_while_and_others_are_not() {
    let company = Company::start().await;
    let (email, other) = (address_of("kim"), address_of("lee"));
    company.sign_up(&email).await;
    company.sign_up(&other).await;
    let mut refused = None;
    for _ in 0..10 {
        let answer = company.try_sign_in(&email, ANOTHER).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.refused(401, "sign_in_failed");
    }
    let refused = refused.expect("it is refused at last").refused(429, "too_many_attempts");
    assert!(!refused.header("retry-after").is_empty(), "{}", refused.story());
    company.sign_in(&other, PASSWORD).await;
    // The right password is not looked at either, until the pause is over.
    company.try_sign_in(&email, PASSWORD).await.refused(429, "too_many_attempts");
    eventually("the account can be tried again", SOON, async || {
        company.try_sign_in(&email, PASSWORD).await.status == 201
    })
    .await;
}

#[tokio::test]
async fn a_cookie_that_was_signed_out_proves_nothing_and_ends_its_stream() {
    let company = Company::start().await;
    let email = address_of("kim");
    let first = company.sign_up(&email).await;
    let second = company.sign_in(&email, PASSWORD).await;
    let (of_first, mut of_second) = (first.events().await, second.events().await);
    let gone = first.delete("/v1/session").await.expect(204);
    assert!(gone.header("set-cookie").contains("Max-Age=0"), "{}", gone.header("set-cookie"));
    assert!(!first.is_signed_in().await);
    first.post("/v1/customers", &json!({})).await.refused(401, "unauthenticated");
    ends(of_first).await;
    assert!(second.is_signed_in().await);
    assert_eq!(of_second.next_within(Duration::from_millis(10)).await, None);
    // From somewhere else, by the number of a session.
    let third = company.sign_in(&email, PASSWORD).await;
    let all = second.get("/v1/sessions").await.expect(200);
    assert_eq!(all.items().iter().map(|item| item["current"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false]);
    let third_no = all.json["items"][1]["sessionNo"].as_str().unwrap().to_owned();
    second.delete(&format!("/v1/sessions/{third_no}")).await.expect(204);
    assert!(!third.is_signed_in().await && second.is_signed_in().await);
    second.delete(&format!("/v1/sessions/{third_no}")).await.refused(404, "session_not_found");
    let fourth = company.sign_in(&email, PASSWORD).await;
    fourth.delete("/v1/sessions").await.expect(204);
    assert!(fourth.is_signed_in().await && !second.is_signed_in().await);
    ends(of_second).await;
}

#[tokio::test]
async fn a_page_of_another_site_does_nothing_with_a_session() {
    let company = Company::start().await;
    let kim = company.sign_up(&address_of("kim")).await;
    let own = (&*kim.cookie, &*kim.origin, &*kim.form_token);
    let send = async |headers: Vec<(&str, &str)>| {
        let extra = Extra { headers: &headers, raw: None };
        company.server.send(Method::DELETE, "/v1/sessions", None, extra).await
    };
    let (cookie, origin, token) = own;
    let lee = company.sign_up(&address_of("lee")).await;
    for (story, headers, code) in [
        ("no origin", vec![("Cookie", cookie), ("X-Form-Token", token)], "cross_site"),
        ("another", vec![("Cookie", cookie), ("Origin", "http://evil.example"), ("X-Form-Token", token)], "cross_site"),
        ("none at all", vec![("Cookie", cookie), ("Origin", "null"), ("X-Form-Token", token)], "cross_site"),
        (
            "another, whatever the browser says",
            vec![
                ("Cookie", cookie),
                ("Origin", "http://evil.example"),
                ("Sec-Fetch-Site", "same-origin"),
                ("X-Form-Token", token),
            ],
            "cross_site",
        ),
        (
            "the same site",
            vec![("Cookie", cookie), ("Sec-Fetch-Site", "same-site"), ("X-Form-Token", token)],
            "cross_site",
        ),
        ("no token", vec![("Cookie", cookie), ("Origin", origin)], "form_token_invalid"),
        (
            "the token of another session",
            vec![("Cookie", cookie), ("Origin", origin), ("X-Form-Token", &lee.form_token)],
            "form_token_invalid",
        ),
        (
            "a forged token",
            vec![("Cookie", cookie), ("Origin", origin), ("X-Form-Token", "AAAA")],
            "form_token_invalid",
        ),
    ] {
        let answer = send(headers).await;
        assert_eq!((answer.status, answer.problem()), (403, code), "{story}: {}", answer.story());
    }
    send(vec![("Cookie", cookie), ("Sec-Fetch-Site", "same-origin"), ("X-Form-Token", token)]).await.expect(204);
    // Nor does it sign anybody in or up.
    let foreign = [("Origin", "http://evil.example")];
    for (target, body) in [
        ("/v1/session", json!({ "email": "kim@example.com", "password": PASSWORD })),
        ("/v1/accounts", json!({ "email": "a@b", "password": PASSWORD, "name": "Kim", "phone": "010" })),
        ("/v1/password-resets", json!({ "email": "kim@example.com" })),
    ] {
        let extra = Extra { headers: &foreign, raw: None };
        company.server.send(Method::POST, target, Some(&body), extra).await.refused(403, "cross_site");
    }
    // A cookie that is forged, or of the other name, is none.
    let forged = format!("rentcar={}", "A".repeat(43));
    for cookie in [&*forged, "rentcar=", &kim.cookie.replace("rentcar=", "__Host-rentcar=")] {
        let answer = company.server.send_with(Method::GET, "/v1/session", ("Cookie", cookie), None).await;
        answer.refused(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_token_goes_before_a_cookie() {
    let company = Company::start().await;
    let kim = company.sign_up(&address_of("kim")).await;
    let headers = [("Cookie", &*kim.cookie), ("Authorization", "Bearer rck_nothing")];
    let extra = Extra { headers: &headers, raw: None };
    let answer = company.server.send(Method::GET, "/v1/session", None, extra).await;
    answer.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
    let company = Company::start().await;
    let email = address_of("kim");
    let (first, second) = (company.sign_up(&email).await, company.sign_in(&email, PASSWORD).await);
    let events = first.events().await;
    let change = |old: &str, new: &str| json!({ "oldPassword": old, "newPassword": new });
    let put = async |body: Value| second.call(Method::PUT, "/v1/account/password", Some(&body)).await;
    put(change(ANOTHER, ANOTHER)).await.refused(401, "sign_in_failed");
    put(change(PASSWORD, "short")).await.refused(400, "invalid_member");
    put(change(PASSWORD, ANOTHER)).await.expect(204);
    assert!(second.is_signed_in().await && !first.is_signed_in().await);
    ends(events).await;
    company.try_sign_in(&email, PASSWORD).await.refused(401, "sign_in_failed");
    company.sign_in(&email, ANOTHER).await;
}

#[tokio::test]
async fn a_forgotten_password_is_reset_once_by_whoever_reads_the_mail() {
    let company = Company::start().await;
    let email = address_of("kim");
    let kim = company.sign_up(&email).await;
    let ask = async |email: &str| company.server.post("/v1/password-resets", &json!({ "email": email })).await;
    let nobody = ask(&address_of("nobody")).await.expect(202);
    let somebody = ask(&email).await.expect(202);
    assert_eq!(nobody.text, somebody.text);
    let message = company.message().await;
    assert_eq!((&message["to"], &message["kind"]), (&json!(email), &json!("password-reset")));
    assert_eq!(company.messages(), 0, "nobody else is sent anything");
    let token = message["token"].as_str().unwrap().to_owned();
    let complete = async |token: &str, password: &str| {
        let body = json!({ "token": token, "newPassword": password });
        company.server.post("/v1/password-resets/completion", &body).await
    };
    complete(&"A".repeat(43), ANOTHER).await.refused(403, "reset_token_invalid");
    complete("nonsense", ANOTHER).await.refused(403, "reset_token_invalid");
    complete(&token, "short").await.refused(400, "invalid_member");
    complete(&token, ANOTHER).await.expect(204);
    assert!(!kim.is_signed_in().await, "whoever knew the old one is signed out");
    complete(&token, PASSWORD).await.refused(403, "reset_token_invalid");
    company.sign_in(&email, ANOTHER).await;
    // A later message makes an earlier one void.
    ask(&email).await.expect(202);
    let earlier = company.message().await["token"].as_str().unwrap().to_owned();
    ask(&email).await.expect(202);
    let later = company.message().await["token"].as_str().unwrap().to_owned();
    complete(&earlier, PASSWORD).await.refused(403, "reset_token_invalid");
    complete(&later, PASSWORD).await.expect(204);
    company.sign_in(&email, PASSWORD).await;
}

#[tokio::test]
async fn who_is_erased_is_signed_out_and_the_address_is_free_again() {
    let mut company = Company::start().await;
    let email = address_of("kim");
    let kim = company.sign_up(&email).await;
    let events = kim.events().await;
    kim.delete(&path("/v1/customers/{}", &kim.customer_no)).await.expect(204);
    ends(events).await;
    assert!(!kim.is_signed_in().await);
    company.try_sign_in(&email, PASSWORD).await.refused(401, "sign_in_failed");
    let again = company.sign_up(&email).await;
    assert_ne!(again.customer_no, kim.customer_no);
    company.server.terminate().await;
    let (verified, said, log) = company.server.run(&["verify"]).await;
    assert!(verified.success(), "{}{log}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn an_operator_disables_an_account_and_enables_it_again() {
    let mut company = Company::start().await;
    let operator = company.operator().await;
    let email = address_of("kim");
    let kim = company.sign_up(&email).await;
    let events = kim.events().await;
    let found = operator.post("/v1/admin/accounts/search", &json!({ "email": email })).await.expect(200);
    assert_eq!((found.text_at("/role"), found.text_at("/customerNo")), ("customer".into(), kim.customer_no.clone()));
    let target = format!("/v1/admin/accounts/{}", found.text_at("/accountNo"));
    let amend = async |disabled: bool| {
        operator.call(Method::PATCH, &target, Some(&json!({ "disabled": disabled }))).await.expect(200)
    };
    assert_eq!(amend(true).await.json["disabled"], true);
    ends(events).await;
    assert!(!kim.is_signed_in().await);
    company.try_sign_in(&email, ANOTHER).await.refused(401, "sign_in_failed");
    company.try_sign_in(&email, PASSWORD).await.refused(403, "account_disabled");
    assert_eq!(amend(false).await.json["disabled"], false);
    let kim = company.sign_in(&email, PASSWORD).await;
    let password = format!("{target}/password");
    let put = async |password: &str, body: Value| operator.call(Method::PUT, password, Some(&body)).await;
    put(&password, json!({ "password": "password1" })).await.refused(400, "invalid_member");
    put(&password, json!({ "password": ANOTHER })).await.expect(204);
    put("/v1/admin/accounts/nobody/password", json!({ "password": ANOTHER })).await.refused(404, "account_not_found");
    assert!(!kim.is_signed_in().await);
    company.sign_in(&email, ANOTHER).await;
    let search = json!({ "email": address_of("nobody") });
    operator.post("/v1/admin/accounts/search", &search).await.refused(404, "account_not_found");
    let all = operator.get("/v1/admin/accounts?limit=1").await.expect(200);
    let next = format!("/v1/admin/accounts?limit=1&cursor={}", all.text_at("/nextCursor"));
    assert_eq!(operator.get(&next).await.expect(200).json["nextCursor"], Value::Null);
    kim.get("/v1/admin/accounts").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn an_operator_opens_accounts_for_others() {
    let mut company = Company::start().await;
    let operator = company.operator().await;
    let open = async |body: Value| operator.post("/v1/admin/accounts", &body).await;
    let staff = address_of("staff");
    open(json!({ "email": staff, "password": PASSWORD, "role": "staff" })).await.expect(201);
    open(json!({ "email": staff, "password": PASSWORD, "role": "staff" })).await.refused(409, "mail_address_taken");
    let of = |customer_no: &str| json!({ "email": address_of("c"), "password": PASSWORD, "role": "customer", "customerNo": customer_no });
    open(of(&unique("nobody"))).await.refused(404, "customer_not_found");
    let at_the_desk = company.sign_in(&staff, PASSWORD).await;
    let customer_no = unique("walk-in");
    at_the_desk.post("/v1/customers", &common::customer(&customer_no)).await.expect(201);
    open(of(&customer_no)).await.expect(201);
    open(of(&customer_no)).await.refused(409, "customer_has_account");
    for (role, customer_no) in [("customer", None), ("staff", Some(&customer_no))] {
        let mut body = json!({ "email": address_of("d"), "password": PASSWORD, "role": role });
        if let Some(customer_no) = customer_no {
            body["customerNo"] = json!(customer_no);
        }
        open(body).await.refused(400, "invalid_member");
    }
    at_the_desk.get("/v1/admin/accounts").await.refused(403, "forbidden");
}

#[tokio::test]
async fn behind_a_proxy_of_ours_the_cookie_is_bound_to_the_host_and_to_https() {
    let company = Company::with(Options::default().setting("SERVER__TRUSTED_PROXIES", "1")).await;
    let email = address_of("kim");
    company.sign_up(&email).await;
    let sign_in = json!({ "email": email, "password": PASSWORD });
    let of_proxy =
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "rent.example"), ("Origin", "https://rent.example")];
    let extra = Extra { headers: &of_proxy, raw: None };
    let answer = company.server.send(Method::POST, "/v1/session", Some(&sign_in), extra).await.expect(201);
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-rentcar="), "{cookie}");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let session = ("Cookie", cookie.split(';').next().unwrap());
    let headers = [session, of_proxy[0], of_proxy[1]];
    let extra = Extra { headers: &headers, raw: None };
    company.server.send(Method::GET, "/v1/session", None, extra).await.expect(200);
    // Without HTTPS the cookie counts for nothing.
    company
        .server
        .send(Method::GET, "/v1/session", None, Extra { headers: &[session], raw: None })
        .await
        .refused(401, "unauthenticated");
}

#[tokio::test]
async fn where_no_accounts_are_offered_their_calls_say_so() {
    let server = TestServer::start().await;
    let sign_in = json!({ "email": "kim@example.com", "password": PASSWORD });
    server.post("/v1/session", &sign_in).await.refused(404, "accounts_not_offered");
    server.get("/v1/session").await.refused(404, "accounts_not_offered");
    server.get("/v1/admin/accounts").await.refused(404, "accounts_not_offered");
    server
        .post("/v1/password-resets", &json!({ "email": "kim@example.com" }))
        .await
        .refused(404, "accounts_not_offered");
}

#[tokio::test]
async fn while_the_context_is_down_who_is_signed_in_goes_on() {
    let mut company = Company::start().await;
    let operator = company.operator().await;
    let (email, car_no) = (address_of("kim"), unique("car"));
    let staff = address_of("staff");
    let body = json!({ "email": staff, "password": PASSWORD, "role": "staff" });
    operator.post("/v1/admin/accounts", &body).await.expect(201);
    company.sign_in(&staff, PASSWORD).await.post("/v1/cars", &common::car(&car_no)).await.expect(201);
    let kim = company.sign_up(&email).await;
    let fault = async |action: &str| {
        let body = json!({ "context": "account", "action": action });
        operator.post("/v1/admin/faults", &body).await.expect(204);
    };
    fault("stop").await;
    eventually("the context is down", SOON, async || company.try_sign_in(&email, PASSWORD).await.status == 503).await;
    kim.post("/v1/reservations", &hold(&car_no, &kim.customer_no, &in_days(5), &in_days(6))).await.expect(202);
    fault("start").await;
    eventually("the context is back", SOON, async || company.try_sign_in(&email, PASSWORD).await.status == 201).await;
}

/// Calls every route as somebody who has signed in, with nothing to say: what may not be called is refused before it is read.
#[tokio::test]
async fn every_role_may_call_what_the_table_says_and_nothing_else() {
    let mut company = Company::start().await;
    let operator = company.operator().await;
    let staff = address_of("staff");
    let body = json!({ "email": staff, "password": PASSWORD, "role": "staff" });
    operator.post("/v1/admin/accounts", &body).await.expect(201);
    let staff = company.sign_in(&staff, PASSWORD).await;
    let customer = company.sign_up(&address_of("kim")).await;
    let roles = [
        (customer, &[Access::Public, Access::Visitor, Access::SignedIn, Access::Owner][..]),
        (
            staff,
            &[Access::Public, Access::Visitor, Access::SignedIn, Access::Owner, Access::AllBookings, Access::Admin],
        ),
        (operator, &[Access::Public, Access::Visitor, Access::SignedIn, Access::Ops, Access::Monitoring]),
    ];
    let mut routes: Vec<_> = rentcar::http::table().into_iter().map(|operation| operation.route).collect();
    // Who has signed out may call nothing.
    routes.sort_by_key(|route| route.name == "signOut");
    for (role, may) in &roles {
        for route in &routes {
            let target = route.template.replace(['{', '}'], "");
            // Without an end, or the end of the session.
            let is_last = ["backUp", "allChanges", "signOutByForm"].contains(&route.name);
            if is_last && may.contains(&route.access) {
                continue;
            }
            let answer = if route.body == BodyRule::Form {
                role.post_form(&target, "").await
            } else {
                role.call(route.method.clone(), &target, None).await
            };
            let code = answer.code();
            if may.contains(&route.access) {
                let refusals =
                    ["unauthenticated", "invalid_credentials", "forbidden", "cross_site", "form_token_invalid"];
                assert!(!refusals.contains(&code), "{}", answer.story());
            } else {
                assert_eq!((answer.status, code), (403, "forbidden"), "{}", answer.story());
            }
        }
    }
}

#[tokio::test]
async fn accounts_are_managed_on_the_command_line_while_no_service_has_them() {
    let mut company = Company::start().await;
    let email = address_of("minho");
    let run = |server: &TestServer, arguments: &[&str], password: &str| user(server, arguments, password);
    let (done, said) = run(&company.server, &["new", "--email", &email, "--role", "staff"], PASSWORD);
    assert!(!done && said.contains("cannot be used"), "a service has the store: {said}");
    company.server.terminate().await;
    let (done, said) = run(&company.server, &["new", "--email", &email, "--role", "staff"], "short");
    assert!(!done && said.contains("8 characters"), "{said}");
    let (done, account_no) = run(&company.server, &["new", "--email", &email, "--role", "staff"], PASSWORD);
    assert!(done, "{account_no}");
    let (done, said) = run(&company.server, &["new", "--email", &email, "--role", "operator"], PASSWORD);
    assert!(!done && said.contains("already"), "{said}");
    let (_, said) = run(&company.server, &["list"], "");
    assert_eq!(said.trim(), format!("{} staff open", account_no.trim()));
    assert!(run(&company.server, &["disable", "--email", &email.to_uppercase()], "").0);
    assert!(run(&company.server, &["list"], "").1.trim().ends_with(" staff disabled"));
    assert!(run(&company.server, &["enable", "--email", &email], "").0);
    assert!(run(&company.server, &["password", "--email", &email], ANOTHER).0);
    let (done, said) = run(&company.server, &["disable", "--email", &address_of("nobody")], "");
    assert!(!done && said.contains("no account"), "{said}");
    company.server.restart().await;
    company.try_sign_in(&email, PASSWORD).await.refused(401, "sign_in_failed");
    company.sign_in(&email, ANOTHER).await;
}
