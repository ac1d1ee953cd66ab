//! What refusals are in words, for people who fill in forms.

use super::Language;

/// The words for a code of refusals, if pages have any.
pub fn refusal(language: Language, code: &str) -> Option<&'static str> {
    let (_, english, korean) = REFUSALS.iter().find(|(known, ..)| *known == code)?;
    Some(match language {
        Language::English => english,
        Language::Korean => korean,
    })
}

const REFUSALS: &[(&str, &str, &str)] = &[
    (
        "account_disabled",
        "This account is disabled. Please ask the company.",
        "사용이 중지된 계정입니다. 회사에 문의해 주세요.",
    ),
    ("block_not_found", "This block has ended already.", "이미 해제된 사용 제한입니다."),
    (
        "calendar_full",
        "This car is booked out for so long that it takes no more bookings.",
        "이 차량은 더 이상 예약을 받을 수 없습니다.",
    ),
    ("cancelled_with_fee", "It has been cancelled already, with a fee.", "이미 수수료가 부과되어 취소된 예약입니다."),
    ("car_already_registered", "There is a car with this number already.", "이미 등록된 차량 번호입니다."),
    ("car_has_live_bookings", "The car still has bookings.", "아직 예약이 남아 있는 차량입니다."),
    ("car_is_out", "The car is with a customer.", "고객이 이용 중인 차량입니다."),
    (
        "car_not_available",
        "The car is not free in this period. Choose another period or another car.",
        "이 기간에는 이용할 수 없는 차량입니다. 다른 기간이나 차량을 선택해 주세요.",
    ),
    ("car_not_found", "There is no such car.", "해당 차량이 없습니다."),
    ("car_retired", "The car has left the fleet.", "보유 차량에서 제외된 차량입니다."),
    (
        "change_expired",
        "The time for this change is over; the booking is as it was.",
        "변경 가능 시간이 지나 예약은 그대로 유지됩니다.",
    ),
    ("change_under_way", "Another change is under way.", "다른 변경이 진행 중입니다."),
    ("customer_already_registered", "There is a customer with this number already.", "이미 등록된 고객 번호입니다."),
    ("customer_erased", "The data of this customer has been erased.", "개인정보가 삭제된 고객입니다."),
    (
        "customer_has_live_bookings",
        "There are bookings that have not ended. Cancel them, or bring the car back first.",
        "진행 중인 예약이 있습니다. 먼저 취소하거나 차량을 반납해 주세요.",
    ),
    ("customer_no_not_yours", "Customers book for themselves only.", "본인 명의로만 예약할 수 있습니다."),
    ("customer_not_found", "There is no such customer.", "해당 고객이 없습니다."),
    ("customer_number_closed", "Nothing can be booked for this customer.", "이 고객 번호로는 예약할 수 없습니다."),
    ("customer_number_erased", "The data of this customer has been erased.", "개인정보가 삭제된 고객 번호입니다."),
    (
        "erasure_interrupted",
        "Another erasure of this customer was going on. Please try again.",
        "이 고객의 다른 삭제 작업이 진행 중이었습니다. 다시 시도해 주세요.",
    ),
    (
        "idempotency_key_in_use",
        "This form is being carried out already. Look at My Page in a moment.",
        "이미 처리 중인 양식입니다. 잠시 후 마이페이지에서 확인해 주세요.",
    ),
    (
        "idempotency_key_reused",
        "This form was sent before. Load the page again and fill it in anew.",
        "이미 제출된 양식입니다. 페이지를 새로 고친 뒤 다시 작성해 주세요.",
    ),
    ("invalid_car_no", "This is not a licence plate number.", "차량 번호 형식이 올바르지 않습니다."),
    ("invalid_customer_no", "This is not a customer number.", "고객 번호 형식이 올바르지 않습니다."),
    ("invalid_period", "The end must come after the beginning.", "종료 일시는 시작 일시 이후여야 합니다."),
    ("invalid_reservation_no", "This is not a booking number.", "예약 번호 형식이 올바르지 않습니다."),
    (
        "licence_consent_required",
        "The licence number is kept only with your consent.",
        "면허 번호를 저장하려면 동의가 필요합니다.",
    ),
    (
        "mail_address_taken",
        "There is an account with this email address already. Sign in instead.",
        "이미 가입된 이메일 주소입니다. 로그인해 주세요.",
    ),
    ("not_registered", "Please register as a customer first.", "먼저 고객 등록이 필요합니다."),
    ("nothing_to_change", "Nothing is different from the booking as it is.", "변경된 내용이 없습니다."),
    ("odometer_below_pick_up", "The odometer shows less than at the pick-up.", "주행 거리가 인수 시보다 작습니다."),
    ("other_currency", "The car is priced in another currency.", "통화가 다른 차량입니다."),
    (
        "password_changed",
        "The password was changed meanwhile. Please sign in again.",
        "비밀번호가 변경되었습니다. 다시 로그인해 주세요.",
    ),
    (
        "payment_declined",
        "The payment was declined. Please try another way to pay.",
        "결제가 거절되었습니다. 다른 결제 수단을 이용해 주세요.",
    ),
    ("payment_required", "Choose how to pay.", "결제 수단을 선택해 주세요."),
    ("period_in_past", "The period lies in the past.", "지난 기간입니다."),
    ("period_too_long", "The period is too long.", "대여 기간이 너무 깁니다."),
    ("personal_data_lost", "The key of this data is lost.", "개인정보를 열 수 있는 키를 잃어버렸습니다."),
    ("plain_http_refused", "Signing in needs https.", "로그인은 https에서만 가능합니다."),
    (
        "price_changed",
        "The price has changed. Look at it again before you confirm.",
        "가격이 변경되었습니다. 다시 확인해 주세요.",
    ),
    ("price_too_large", "The price is too large.", "금액이 너무 큽니다."),
    ("rental_already_picked_up", "The car has been handed over already.", "이미 인수된 차량입니다."),
    ("rental_already_returned", "The car is back already.", "이미 반납된 차량입니다."),
    ("rental_cancelled", "The rental was cancelled.", "취소된 대여입니다."),
    ("rental_not_picked_up", "The car has not been handed over.", "아직 인수되지 않은 차량입니다."),
    ("reservation_closed", "The reservation has ended.", "종료된 예약입니다."),
    ("reservation_not_found", "There is no such reservation.", "해당 예약이 없습니다."),
    ("reservation_not_paid", "The reservation is not paid.", "결제되지 않은 예약입니다."),
    (
        "reset_token_invalid",
        "This link is not valid, or no longer. Ask for a new one.",
        "유효하지 않거나 만료된 링크입니다. 다시 요청해 주세요.",
    ),
    (
        "resets_not_offered",
        "Passwords cannot be reset here. Please ask the company.",
        "비밀번호 재설정을 제공하지 않습니다. 회사에 문의해 주세요.",
    ),
    ("sign_in_failed", "Email address or password is wrong.", "이메일 주소 또는 비밀번호가 올바르지 않습니다."),
    (
        "stale_etag",
        "Somebody else has changed the car meanwhile. Look at it again.",
        "그 사이 다른 사람이 차량 정보를 변경했습니다. 다시 확인해 주세요.",
    ),
    (
        "too_many_attempts",
        "Too many attempts. Please wait a moment.",
        "시도 횟수가 너무 많습니다. 잠시 후 다시 시도해 주세요.",
    ),
    ("too_many_changes", "This booking cannot be changed any more.", "더 이상 변경할 수 없는 예약입니다."),
    ("too_many_payment_attempts", "It was tried to pay too often.", "결제 시도 횟수를 초과했습니다."),
    (
        "too_many_unpaid_holds",
        "You hold as many unpaid cars as you may. Pay or cancel one of them first.",
        "결제하지 않은 예약이 너무 많습니다. 먼저 결제하거나 취소해 주세요.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::problem::status_of;

    #[test]
    fn every_code_that_has_words_is_one_that_refuses_something() {
        for (code, english, korean) in REFUSALS {
            assert!(status_of(code).is_client_error(), "{code}");
            assert!(english.is_ascii() && !korean.is_ascii(), "{code}");
        }
        assert!(REFUSALS.is_sorted_by_key(|(code, ..)| *code));
    }
}
