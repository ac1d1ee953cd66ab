//! Words of the pages for operators.

use super::{Language, texts};
use crate::domain::reconciliation::Difference;

texts! {
    /// Words of the pages for operators.
    Operation {
        title: "Operation", "운영";
        lost: "The service does not answer. What you see below is old; it is asked again and again.",
            "서비스가 응답하지 않습니다. 아래 내용은 이전 상태이며 계속 다시 확인하고 있습니다.";
        all_well: "All is well", "모두 정상입니다";
        all_well_more: "Payments go through at once, every part is up, and nothing waits.",
            "결제가 바로 처리되고 모든 구성 요소가 정상이며 밀린 작업이 없습니다.";

        // Payments.
        payments: "Payments", "결제";
        guard_down: "Restarting", "재시작 중";
        guard_down_more: "What watches over payments is being restarted. New payments are made a moment later.",
            "결제 보호 장치가 재시작되고 있습니다. 새 결제는 잠시 후 처리됩니다.";
        failing_word: "Failing now and then", "간헐적 실패";
        slow_word: "Slow", "느림";
        closed: "Open for payments", "정상 처리";
        closed_slow: "Open, slow", "처리 중, 느림";
        closed_more: "Payments go to the provider as they come.", "결제를 들어오는 대로 대행사에 보냅니다.";
        open: "Held back", "보류 중";
        open_more: "The payment provider fails or is slow, so no new payment reaches it. Cars are held, and payments are made by themselves as soon as it works again.",
            "결제 대행사가 실패하거나 느려 결제를 보내지 않습니다. 차량은 확보해 두고, 대행사가 복구되는 대로 자동으로 결제합니다.";
        half_open: "Trying again", "재시도 중";
        half_open_more: "A few payments try the provider. The others wait until these have worked.",
            "일부 결제로 대행사의 상태를 확인하고 있습니다. 나머지는 확인될 때까지 대기합니다.";
        forced_open: "Stopped by hand", "수동 중지";
        forced_open_more: "An operator has stopped all payments. Cars are held but not charged until an operator switches back to automatic.",
            "운영자가 모든 결제를 중지했습니다. 자동으로 되돌릴 때까지 차량만 확보하고 결제하지 않습니다.";
        forced_closed: "Let through by hand", "수동 허용";
        forced_closed_more: "Every payment is tried, whatever the provider answers. While it fails, customers wait for a refusal.",
            "대행사의 응답과 관계없이 모든 결제를 시도합니다. 대행사에 장애가 있으면 고객이 실패를 기다리게 됩니다.";
        under_way: "Under way", "처리 중";
        queued: "Waiting for a turn", "차례 대기";
        failed: "Recent failures", "최근 실패";
        slow: "Recent slow calls", "최근 느린 호출";
        takes: "Charge time", "결제 소요 시간";
        deferred: "To be paid later", "지연 결제 대기";
        unknown: "Outcome unknown", "결과 미확인";
        refunds: "Refunds owed", "미지급 환불";
        held_since: "Held back since", "보류 시작";
        next_try: "Next try", "다음 시도";
        one_waiting: "1 payment is postponed and will be made automatically later.", "결제 1건이 미뤄졌으며 나중에 자동으로 결제합니다.";

        // What an operator can do about payments.
        control: "Decide by hand", "수동 제어";
        control_note: "Automatic is almost always right. What you do here is noted in the audit.",
            "대부분은 자동이 적합합니다. 여기서 한 작업은 감사 기록에 남습니다.";
        stop: "Stop all payments", "모든 결제 중지";
        stop_more: "Nobody can pay until you go back to automatic. Bookings are still taken: cars are held and paid later, or the holds end.",
            "자동으로 되돌릴 때까지 아무도 결제할 수 없습니다. 예약은 계속 받으며, 차량은 나중에 결제되거나 확보 시간이 지나면 해제됩니다.";
        let_through: "Let all payments through", "모든 결제 허용";
        let_through_more: "Every payment reaches the provider, also while it fails. Do this only when you know that it works.",
            "장애 중에도 모든 결제를 대행사로 보냅니다. 대행사가 정상임을 확인한 경우에만 사용하세요.";
        automatic: "Back to automatic", "자동으로 전환";
        done_stopped: "All payments are stopped.", "모든 결제를 중지했습니다.";
        done_let_through: "All payments are let through.", "모든 결제를 허용했습니다.";
        done_automatic: "Payments are watched over automatically again.", "결제를 다시 자동으로 제어합니다.";
        sandbox: "The provider is a sandbox inside this service: no money is charged.",
            "서비스에 내장된 샌드박스 결제를 사용합니다. 실제 금액은 결제되지 않습니다.";
        advice: "Payments wait by themselves; tell the provider.", "결제는 자동으로 대기합니다. 결제 대행사에 알려 주세요.";
        advice_sandbox: "Payments wait by themselves. The provider is the sandbox inside; its settings say how it behaves.",
            "결제는 자동으로 대기합니다. 내장된 샌드박스 결제를 사용 중이며 동작은 샌드박스 설정에 따릅니다.";
        sandbox_settings: "How it behaves", "동작 설정";

        // Comparing with the provider.
        compare: "Compare with the provider", "결제 대사";
        compare_lead: "Every payment here is compared with the provider’s own record, while both keep running.",
            "서비스를 운영하는 상태에서 모든 결제를 대행사의 기록과 비교합니다.";
        compare_now: "Compare now", "지금 비교";
        comparing: "Comparing", "비교 중";
        never_compared: "Not compared since the start.", "시작 후 아직 비교하지 않았습니다.";
        agrees: "Both say the same", "일치";
        differs: "They differ", "불일치";
        no_result: "No result", "결과 없음";
        provider_guarded: "The payment provider fails or is slow at the moment, so it is not asked. Try again when payments go through.",
            "결제 대행사에 장애가 있어 확인하지 않습니다. 결제가 정상화되면 다시 시도하세요.";
        provider_unreadable: "The payment provider’s record cannot be read at the moment. Try again later.",
            "결제 대행사의 기록을 읽을 수 없습니다. 나중에 다시 시도하세요.";
        record_too_long: "There is too much to compare in one go.", "기록이 너무 많아 한 번에 비교할 수 없습니다.";
        store_unreadable: "The payments kept here cannot be read at the moment. Try again later.",
            "저장된 결제를 읽을 수 없습니다. 나중에 다시 시도하세요.";
        compared_payments: "Payments here", "서비스의 결제";
        compared_charges: "Charges there", "대행사의 결제";
        compared_refunds: "Refunds there", "대행사의 환불";
        pending_charges: "Charges under way", "처리 중인 결제";
        pending_refunds: "Refunds owed", "미지급 환불";
        difference: "Difference", "차이";
        here: "Here", "서비스";
        there: "There", "대행사";
        reservation: "Reservation", "예약";

        // The store.
        store: "Store", "저장소";
        journal: "Journal", "저널";
        takes_changes: "Accepting changes", "변경 기록 가능";
        takes_none: "Not accepting changes", "변경 기록 불가";
        disk_free: "Free on the disk", "디스크 여유 공간";
        last_backup: "Last backup", "마지막 백업";
        none_since_start: "none since the start", "시작 후 없음";
        back_up: "Back up now", "지금 백업";
        back_up_note: "Downloads an archive of everything, while the service goes on. It holds personal data: keep it as you keep the store.",
            "서비스를 운영하는 상태에서 전체 데이터를 내려받습니다. 개인정보가 포함되므로 저장소와 같은 수준으로 보관하세요.";

        // Load.
        load: "Load", "부하";
        calls: "Kind of call", "요청 종류";
        turned_away: "Turned away", "거절";
        nothing_shed: "All requests are being served.", "모든 요청을 처리하고 있습니다.";
        calls_list: "Lists and pages", "목록과 페이지";
        calls_read: "Searches and reads", "검색과 조회";
        calls_create: "New bookings", "새 예약";
        calls_existing: "Paying, cancelling, pick-up, return", "결제, 취소, 인수, 반납";

        // Followers and parts.
        followers: "Followers", "이벤트 처리";
        followers_lead: "Work triggered by events, handled in order.",
            "이벤트에 뒤따르는 작업을 순서대로 자동 처리합니다.";
        follower: "Follower", "처리기";
        behind: "Behind", "지연";
        age: "For", "지연 시간";
        parked: "Parked", "보류";
        parked_note: "What is parked cannot be handled and is tried again and again. The log says why.",
            "보류된 이벤트는 처리할 수 없어 계속 다시 시도합니다. 원인은 로그에 있습니다.";
        parts: "Parts", "구성 요소";
        up: "Up", "정상";
        troubled: "Up, in trouble", "확인 필요";
        down: "Down", "중단";
        on_request: "An operator has stopped it.", "운영자가 중지했습니다.";
        restarting: "It is being restarted.", "재시작하고 있습니다.";
        stopped: "It has ended.", "종료되었습니다.";

        // The audit.
        audit_title: "Audit", "감사 기록";
        audit_lead: "Who did what to which number, when and why. It holds numbers and codes, and nothing personal.",
            "누가, 언제, 어떤 번호에, 무엇을, 왜 했는지 기록합니다. 번호와 코드만 있고 개인정보는 없습니다.";
        number: "Number", "번호";
        kind_of_caller: "Kind of caller", "사용자 구분";
        anybody: "Anybody", "전체";
        id: "Name or ID", "이름 또는 ID";
        from_day: "From", "시작일";
        to_day: "Until", "종료일";
        filter: "Show", "조회";
        unfilter: "Show everything", "전체 보기";
        when: "When", "일시";
        who: "Who", "사용자";
        what: "What", "작업";
        why: "Why", "사유";
        nobody_known: "not known", "알 수 없음";
        only_these: "Filter", "필터";
        nothing_noted: "Nothing has been done yet", "아직 기록이 없습니다";
        nothing_noted_more: "Whatever somebody with credentials changes is shown here.",
            "인증된 사용자가 변경한 내용이 여기에 표시됩니다.";
        nothing_found: "Nothing was found", "조회 결과가 없습니다";
        nothing_found_more: "Try fewer filters, or other days.", "조건을 줄이거나 기간을 바꿔 보세요.";
        more_behind: "None here so far. The search goes on with the next page.", "여기까지는 없습니다. 다음 페이지에서 이어서 찾습니다.";
        whose_wrong: "Choose who it is as well.", "사용자 구분도 선택하세요.";
        days_wrong: "The last day must not be before the first.", "종료일은 시작일보다 빠를 수 없습니다.";
        customer: "Customer", "고객";
        staff: "Staff or operator", "직원·운영자";
        machine: "Program", "프로그램";
        api_key: "API key", "API 키";
    } {
        as_of(time): "As of {time}; updates automatically.", "{time} 기준이며 자동으로 갱신됩니다.";
        part_of(part, whole): "{part} of {whole}", "{whole}건 중 {part}건";
        out_of(part, limit): "{part} of {limit}", "{part} / {limit}";
        since(at): "since {at}", "{at}부터";
        overdue(count): "{count} for too long", "{count}건 지연";
        read_so_far(count, since): "Entries read: {count}, begun at {since}.", "{since}에 시작해 {count}건을 읽었습니다.";
        compared_at(at): "Compared at {at}", "비교 일시: {at}";
        unlisted(count): "Not listed: {count} more.", "{count}건은 표시하지 않았습니다.";
        percent(count): "{count}%", "{count}%";
        up_to_date(count): "All {count} followers are up to date.", "처리기 {count}개 모두 지연이 없습니다.";
        show_all(count): "All {count}", "전체 {count}개";
        killed(part): "{part}: killed", "{part}: 강제 종료";
        stopped_part(part): "{part}: stopped", "{part}: 중지";
        started(part): "{part}: started", "{part}: 시작";
        flow(source, target): "{source} → {target}", "{source} → {target}";

        // What is wrong, at the top.
        is_down(part): "{part}: down", "{part}: 중단";
        is_troubled(part): "{part}: in trouble", "{part}: 확인 필요";
        opened(failed, slow, all): "Calls to the payment provider: {all}, of which failed: {failed}, slow: {slow}. What is slow or fails is the provider.",
            "결제 대행사 호출 {all}건 중 {failed}건이 실패하고 {slow}건이 느렸습니다. 원인은 결제 대행사에 있습니다.";
        failing(failed, all): "Failed calls to the payment provider: {failed} of the latest {all}.",
            "최근 결제 대행사 호출 {all}건 중 {failed}건이 실패했습니다.";
        slow_running(count, time): "Calls under way at the payment provider: {count}, the oldest for {time}. What is slow is the provider.",
            "결제 대행사에서 {count}건을 처리하고 있으며 가장 오래된 것은 {time}째입니다. 대행사의 응답이 느립니다.";
        slow_provider(time): "A charge takes {time} at the payment provider.", "결제 대행사에서 결제에 {time} 걸립니다.";
        crowded(queued, limit): "Payments waiting for a turn: {queued}. The provider takes {limit} at once now.",
            "결제 {queued}건이 차례를 기다립니다. 지금은 한 번에 {limit}건까지 처리합니다.";
        waiting(count): "{count} payments are postponed and will be made automatically later.",
            "결제 {count}건이 미뤄졌으며 나중에 자동으로 결제합니다.";
        unknown_long(count, age): "Payments whose outcome has been unknown for too long: {count}, the oldest for {age}. The provider is asked again and again.",
            "결제 {count}건의 결과를 오래 확인하지 못했습니다(최장 {age}). 대행사에 계속 문의하고 있습니다.";
        refunds_long(count, age): "Refunds owed for too long: {count}, the oldest for {age}. They are tried again and again.",
            "환불 {count}건이 오래 지급되지 않았습니다(최장 {age}). 계속 다시 시도하고 있습니다.";
        late(follower, events, age): "{follower}: events behind: {events}, the oldest for {age}.", "{follower}: 이벤트 {events}건 지연(최장 {age}).";
        set_aside(follower, count): "{follower}: events parked that need a person: {count}.", "{follower}: 이벤트 {count}건이 보류되어 확인이 필요합니다.";
        set_aside_of(targets): "They are meant for {targets}.", "대상: {targets}";
        shedding(percent): "Too much is asked at once: {percent}% of lists and pages are turned away, and more urgent calls after them.",
            "요청이 너무 많습니다. 목록과 페이지 요청의 {percent}%를 거절하고 있으며, 심해지면 더 중요한 요청도 거절합니다.";
    }
}

/// A part of the service, as operators know it, and what customers notice when it is down.
pub struct Part {
    pub name: &'static str,
    pub when_down: &'static str,
}

/// The words for a component of health; none for one that has no words.
pub fn part_in_words(language: Language, name: &str) -> Option<Part> {
    let (_, english, korean) = PARTS.iter().find(|(known, ..)| *known == name)?;
    let (name, when_down) = match language {
        Language::English => *english,
        Language::Korean => *korean,
    };
    Some(Part { name, when_down })
}

type Words = (&'static str, &'static str);

const PARTS: [(&str, Words, Words); 15] = [
    (
        "account",
        ("Accounts", "Nobody can sign in or up; who has signed in goes on."),
        ("계정", "로그인과 회원가입을 할 수 없습니다. 이미 로그인한 사용자는 계속 이용할 수 있습니다."),
    ),
    (
        "bulkhead",
        ("Payment guard", "New payments are made later, by themselves."),
        ("결제 보호", "새 결제는 나중에 자동으로 처리됩니다."),
    ),
    (
        "customer",
        ("Customers", "Nobody can register, and personal data cannot be erased."),
        ("고객", "고객 등록과 개인정보 삭제를 할 수 없습니다."),
    ),
    (
        "deferred-payments",
        ("Later payments", "Payments that were turned away are not tried again by themselves."),
        ("지연 결제", "미뤄진 결제를 자동으로 다시 시도하지 않습니다."),
    ),
    (
        "fleet",
        ("Fleet", "Cars can be booked, but not registered or amended."),
        ("차량 관리", "예약은 가능하지만 차량을 등록하거나 수정할 수 없습니다."),
    ),
    (
        "housekeeping",
        ("Housekeeping", "Nobody notices; expired records are forgotten later."),
        ("정리 작업", "이용에는 영향이 없으며 만료된 기록은 나중에 정리합니다."),
    ),
    (
        "journal",
        ("Journal", "Nothing can be changed; what is there can be read. It is opened again by itself."),
        ("저널", "변경할 수 없고 조회만 가능합니다. 자동으로 다시 엽니다."),
    ),
    (
        "operations",
        ("Operators’ notes", "What operators do cannot be noted, so it is refused."),
        ("운영 기록", "운영자의 작업을 기록할 수 없어 실행하지 않습니다."),
    ),
    (
        "payment",
        ("Payments", "Nobody can pay; cars are held and paid later."),
        ("결제", "결제할 수 없습니다. 차량은 확보해 두고 나중에 결제합니다."),
    ),
    (
        "payment-monitor",
        ("Payment alarm", "Nobody notices; payments that stay unknown raise no alarm."),
        ("결제 감시", "이용에는 영향이 없지만 오래 확인되지 않은 결제를 알리지 않습니다."),
    ),
    ("rental", ("Rentals", "Cars cannot be brought back in the service."), ("대여", "차량 반납을 처리할 수 없습니다.")),
    (
        "reservation",
        ("Reservations", "Nobody can book, change, cancel or pick up."),
        ("예약", "예약, 변경, 취소, 인수를 할 수 없습니다."),
    ),
    (
        "runtime",
        ("Runtime", "Nothing is answered. Only a restart of the process helps."),
        ("런타임", "응답하지 못합니다. 프로세스를 재시작해야 합니다."),
    ),
    (
        "storage",
        ("Disk space", "New business is refused; what is under way goes on."),
        ("디스크 공간", "새 예약은 받지 않으며 진행 중인 작업은 계속합니다."),
    ),
    (
        "views",
        ("Lists and searches", "Lists, searches and My Page show what was; bookings go on."),
        ("목록과 검색", "목록, 검색, 마이페이지가 이전 내용을 표시합니다. 예약은 계속됩니다."),
    ),
];

/// What a difference to the provider's record means.
pub const fn difference_in_words(language: Language, difference: Difference) -> &'static str {
    let (english, korean) = match difference {
        Difference::ChargeNotRecorded => (
            "The provider has taken money that is not recorded here as charged.",
            "대행사는 결제했지만 여기에는 결제 기록이 없습니다.",
        ),
        Difference::ChargeNotFound => (
            "It is recorded here as charged, and the provider knows nothing of it.",
            "여기에는 결제로 기록되었지만 대행사에는 기록이 없습니다.",
        ),
        Difference::ChargeAmountsDiffer => {
            ("The provider has charged another amount than is recorded here.", "결제 금액이 서로 다릅니다.")
        }
        Difference::RefundNotRecorded => (
            "The provider has given money back, and that is not recorded here.",
            "대행사는 환불했지만 여기에는 환불 기록이 없습니다.",
        ),
        Difference::RefundNotFound => (
            "It is recorded here as refunded, and the provider knows nothing of it.",
            "여기에는 환불로 기록되었지만 대행사에는 기록이 없습니다.",
        ),
        Difference::RefundAmountsDiffer => {
            ("The provider has given back another amount than is due here.", "환불 금액이 서로 다릅니다.")
        }
        Difference::RefundedAboveCharge => {
            ("The provider has given back more than it had taken.", "대행사가 결제 금액보다 많이 환불했습니다.")
        }
        Difference::ChargedTwice => {
            ("The provider has taken money more than once.", "대행사가 두 번 이상 결제했습니다.")
        }
        Difference::ReservationUnknown => (
            "The provider has moved money for a reservation that is not known here.",
            "여기에 없는 예약에 대해 대행사에 거래 기록이 있습니다.",
        ),
    };
    match language {
        Language::English => english,
        Language::Korean => korean,
    }
}

/// The words for a code of why something was done, or the code itself.
pub fn why_in_words(language: Language, code: String) -> String {
    match (REASONS.iter().find(|(known, ..)| *known == code), language) {
        (Some((_, english, _)), Language::English) => (*english).to_owned(),
        (Some((_, _, korean)), Language::Korean) => (*korean).to_owned(),
        (None, _) => fault_in_words(language, &code).unwrap_or(code),
    }
}

/// What was done to which part by the fault injection.
fn fault_in_words(language: Language, code: &str) -> Option<String> {
    let t = Operation::of(language);
    let (action, part) = code.split_once('_')?;
    let part = part_in_words(language, &part.to_lowercase())?.name;
    match action {
        "KILL" => Some(t.killed(part)),
        "STOP" => Some(t.stopped_part(part)),
        "START" => Some(t.started(part)),
        _ => None,
    }
}

const REASONS: [(&str, &str, &str); 7] = [
    ("AUTO", "back to automatic", "자동으로 전환"),
    ("CAR_UNAVAILABLE", "fee waived: the car cannot be had", "수수료 면제: 차량 제공 불가"),
    ("COMPANY_FAULT", "fee waived: the company’s fault", "수수료 면제: 회사 귀책"),
    ("FORCED_CLOSED", "all let through", "모두 허용"),
    ("FORCED_OPEN", "all stopped", "모두 중지"),
    ("GOODWILL", "fee waived: goodwill", "수수료 면제: 고객 배려"),
    ("OTHER", "fee waived: another reason", "수수료 면제: 기타"),
];

/// A count of days.
pub fn days(language: Language, count: u64) -> String {
    match (language, count) {
        (Language::English, 1) => "1 day".to_owned(),
        (Language::English, _) => format!("{count} days"),
        (Language::Korean, _) => format!("{count}일"),
    }
}

/// A time in the largest unit of which there is one, with the unit in full, as in a sentence.
pub fn span_in_words(language: Language, ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    let (count, english, korean) = match seconds {
        0..60 => (seconds, "second", "초"),
        60..3_600 => (seconds / 60, "minute", "분"),
        3_600..86_400 => (seconds / 3_600, "hour", "시간"),
        _ => (seconds / 86_400, "day", "일"),
    };
    match language {
        Language::English => format!("{count} {english}{}", if count == 1 { "" } else { "s" }),
        Language::Korean => format!("{count}{korean}"),
    }
}

/// A time that has passed, in the largest unit of which there is one.
pub fn span(language: Language, ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    let (count, english, korean) = match seconds {
        0..60 => (seconds, "s", "초"),
        60..3_600 => (seconds / 60, "min", "분"),
        3_600..86_400 => (seconds / 3_600, "h", "시간"),
        _ => (seconds / 86_400, "d", "일"),
    };
    match language {
        Language::English => format!("{count} {english}"),
        Language::Korean => format!("{count}{korean}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_largest_unit() {
        for (ms, english, korean) in [
            (-5, "0 s", "0초"),
            (59_999, "59 s", "59초"),
            (60_000, "1 min", "1분"),
            (7_200_000, "2 h", "2시간"),
            (3 * 86_400_000, "3 d", "3일"),
        ] {
            assert_eq!((&*span(Language::English, ms), &*span(Language::Korean, ms)), (english, korean));
        }
    }

    #[test]
    fn a_span_in_a_sentence_has_its_unit_in_full() {
        for (ms, english, korean) in [
            (1_000, "1 second", "1초"),
            (900_000, "15 minutes", "15분"),
            (3_600_000, "1 hour", "1시간"),
            (2 * 86_400_000, "2 days", "2일"),
        ] {
            let told = [Language::English, Language::Korean].map(|language| span_in_words(language, ms));
            assert_eq!(told, [english, korean]);
        }
    }

    #[test]
    fn a_code_without_words_is_told_as_it_is() {
        for (code, told) in [
            ("FORCED_OPEN", "all stopped"),
            ("KILL_VIEWS", "Lists and searches: killed"),
            ("KILL_X", "KILL_X"),
            ("?", "?"),
        ] {
            assert_eq!(why_in_words(Language::English, code.to_owned()), told);
        }
    }

    #[test]
    fn every_table_is_sorted_and_has_nothing_twice() {
        assert!(PARTS.is_sorted_by(|a, b| a.0 < b.0) && REASONS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
