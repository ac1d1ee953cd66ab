//! What has happened, in words: for each kind of event that pages show.

use super::Language;

/// The words for a kind of event.
pub fn kind_in_words(language: Language, kind: &str) -> &'static str {
    let found = KINDS.iter().find(|(known, ..)| *known == kind);
    let (_, english, korean) = found.copied().unwrap_or(("", "Something else", "기타"));
    match language {
        Language::English => english,
        Language::Korean => korean,
    }
}

const KINDS: &[(&str, &str, &str)] = &[
    ("account.calendar_renewed", "Calendar link made", "캘린더 링크 생성"),
    ("account.disabled", "Account disabled", "계정 사용 중지"),
    ("account.enabled", "Account enabled again", "계정 사용 재개"),
    ("account.erased", "Account erased", "계정 삭제"),
    ("account.opened", "Account opened", "계정 개설"),
    ("account.password_set", "Password set", "비밀번호 설정"),
    ("account.reset_allowed", "New password asked for", "비밀번호 재설정 요청"),
    ("account.reset_ended", "Password reset ended", "비밀번호 재설정 종료"),
    ("account.session_ended", "Signed out", "로그아웃"),
    ("account.session_started", "Signed in", "로그인"),
    ("account.session_used", "Session used", "세션 사용"),
    ("customer.closed", "Erasure begun", "개인정보 삭제 시작"),
    ("customer.erased", "Personal data erased", "개인정보 삭제"),
    ("customer.registered", "Registered as a customer", "고객 등록"),
    ("customer.reopened", "Erasure given up", "개인정보 삭제 중단"),
    ("fleet.amended", "Details or rate changed", "차량 정보 또는 요금 변경"),
    ("fleet.blocked", "Block noted", "사용 제한 기록"),
    ("fleet.registered", "Car added to the fleet", "차량 등록"),
    ("fleet.rental_ended", "Rental ended", "대여 종료 기록"),
    ("fleet.rental_noted", "Rental noted", "대여 기록"),
    ("fleet.retired", "Retirement noted", "차량 제외 기록"),
    ("fleet.unblocked", "End of a block noted", "사용 제한 해제 기록"),
    ("operations.backup_taken", "Backup taken", "백업 수행"),
    ("operations.breaker_set", "Circuit breaker set", "서킷 브레이커 설정"),
    ("operations.fault_injected", "Fault injected", "장애 주입"),
    ("operations.payments_reconciled", "Payments compared with the provider", "결제 내역 대조"),
    ("operations.provider_changed", "Sandbox provider changed", "샌드박스 결제 설정 변경"),
    ("payment.approved", "Payment approved", "결제 승인"),
    ("payment.cancelled", "Payment cancelled", "결제 취소"),
    ("payment.declined", "Payment declined", "결제 거절"),
    ("payment.not_charged", "Nothing was charged", "결제되지 않음"),
    ("payment.reduced", "Part of the payment goes back", "결제 금액 감액"),
    ("payment.refunded", "Refunded", "환불 완료"),
    ("payment.requested", "Payment requested", "결제 요청"),
    ("payment.sight_lost", "Payment in doubt", "결제 확인 중"),
    ("payment.unknown", "Payment in doubt", "결제 확인 중"),
    ("rental.cancelled", "Rental cancelled", "대여 취소"),
    ("rental.changed", "Rental changed", "대여 변경"),
    ("rental.left", "Rental goes to another car", "다른 차량으로 대여 이동"),
    ("rental.overdue", "Not back in time", "반납 지연"),
    ("rental.picked_up", "Car handed over", "차량 인도"),
    ("rental.rented", "Rental arranged", "대여 확정"),
    ("rental.returned", "Car returned", "차량 반납"),
    ("reservation.blocked", "Blocked", "사용 제한"),
    ("reservation.cancelled", "Booking cancelled", "예약 취소"),
    ("reservation.change_begun", "Change asked for", "예약 변경 요청"),
    ("reservation.change_ended", "Change given up", "예약 변경 중단"),
    ("reservation.changed", "Booking changed", "예약 변경"),
    ("reservation.completed", "Booking completed", "예약 종료"),
    ("reservation.confirmed", "Booking confirmed", "예약 확정"),
    ("reservation.enrolled", "Car open for bookings", "예약 접수 시작"),
    ("reservation.expired", "Not paid in time", "미결제로 만료"),
    ("reservation.held", "Car held", "차량 확보"),
    ("reservation.incoming_accepted", "Booking came from another car", "다른 차량의 예약 이동 완료"),
    ("reservation.incoming_held", "Held for a booking of another car", "다른 차량의 예약을 위해 확보"),
    ("reservation.incoming_released", "Booking of another car does not come", "다른 차량의 예약 이동 취소"),
    ("reservation.moved", "Booking went to another car", "다른 차량으로 예약 이동"),
    ("reservation.no_show", "Nobody came for the car", "미인수 종료"),
    ("reservation.picked_up", "Picked up", "인수 완료"),
    ("reservation.retired", "Car retired", "차량 제외"),
    ("reservation.unblocked", "Block ended", "사용 제한 해제"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operations::Act;

    #[test]
    fn every_kind_of_event_has_words() {
        assert!(KINDS.is_sorted_by_key(|(kind, ..)| *kind));
        assert!(KINDS.iter().all(|(_, english, korean)| english.is_ascii() && !korean.is_ascii()));
        let known = |kind: &str| assert!(KINDS.iter().any(|(known, ..)| *known == kind), "{kind}");
        // There is a file for every event that is stored.
        let stored = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/events")).expect("the files");
        for file in stored {
            let name = file.expect("a file").file_name().into_string().expect("a name");
            let kind = name.rsplitn(3, '.').last().expect("a kind");
            if kind != "operations.noted" {
                known(kind);
            }
        }
        known("payment.unknown");
        for act in Act::ALL {
            known(&format!("operations.{}", act.name()));
        }
        assert_eq!(kind_in_words(Language::Korean, "reservation.held"), "차량 확보");
        assert_eq!(kind_in_words(Language::English, "something.new"), "Something else");
    }
}
