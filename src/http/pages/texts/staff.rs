//! Words of the pages of staff for cars, customers and histories.

use super::texts;

texts! {
    /// Words of the pages of staff for cars, customers and histories.
    Staff {
        // Cars.
        add_car: "Add a car", "차량 등록";
        status: "Status", "상태";
        in_fleet: "In the fleet", "보유 차량 전체";
        available: "Available", "이용 가능";
        booked: "Has bookings", "예약 있음";
        out: "On the road", "이용 중";
        blocked: "Blocked", "사용 제한";
        retired: "Retired", "제외됨";
        overdue: "Overdue", "반납 지연";
        branch: "Branch", "지점";
        every_branch: "All branches", "전체 지점";
        car_class: "Class", "차급";
        every_class: "All classes", "전체 차급";
        car_no: "Licence plate", "차량 번호";
        car_no_note: "As on the number plate.", "번호판에 적힌 번호를 입력하세요.";
        model: "Model", "모델";
        daily_rate: "Daily rate", "1일 요금";
        rate_note: "For example, 45000 or 39.90.", "예: 45000, 39.90";
        currency: "Currency", "통화";
        registered_on: "First registration", "최초 등록일";
        optional: "optional", "선택";
        car_list: "Cars", "차량 목록";
        no_cars: "There are no cars yet", "등록된 차량이 없습니다";
        no_cars_more: "Add the first one, and it can be booked at once.", "첫 차량을 등록하면 바로 예약을 받을 수 있습니다.";
        no_such_cars: "No car is like that", "조건에 맞는 차량이 없습니다";
        no_such_cars_more: "Choose another status, branch or class.", "다른 상태, 지점 또는 차급을 선택해 보세요.";
        word_wrong: "100 characters at most.", "100자 이하로 입력하세요.";
        model_wrong: "Say which model it is, in 100 characters at most.", "모델명을 100자 이하로 입력하세요.";
        rate_wrong: "This is no amount of this currency.", "이 통화의 금액 형식이 올바르지 않습니다.";
        currency_wrong: "Three letters, such as KRW.", "KRW와 같은 세 글자 코드를 입력하세요.";
        date_wrong: "This is no day.", "날짜 형식이 올바르지 않습니다.";
        car_no_wrong: "Letters and digits, then also points, hyphens and underscores; 64 at most.",
            "글자와 숫자로 시작하고 마침표, 하이픈, 밑줄을 쓸 수 있습니다. 최대 64자입니다.";
        done_registered: "The car is in the fleet and can be booked.", "차량이 등록되어 예약을 받을 수 있습니다.";
        done_saved: "Saved.", "저장되었습니다.";
        done_blocked: "The car is blocked for this time.", "이 기간 동안 차량 사용이 제한됩니다.";
        done_unblocked: "The block has ended.", "사용 제한이 해제되었습니다.";
        done_retired: "The car has left the fleet.", "차량이 보유 차량에서 제외되었습니다.";
        particulars: "Details and rate", "차량 정보와 요금";
        particulars_note: "A new rate applies to new bookings only; existing bookings keep their price.",
            "변경된 요금은 이후 예약부터 적용되며 기존 예약 금액은 그대로입니다.";
        now: "Current details", "현재 정보";
        blocks: "Blocks", "사용 제한";
        no_blocks: "The car is not blocked.", "사용 제한이 없습니다.";
        add_block: "Block the car", "사용 제한 추가";
        end_block: "End the block", "제한 해제";
        is_over: "over", "종료";
        is_under_way: "now", "진행 중";
        reason: "Reason", "사유";
        reason_note: "Such as inspection or repair.", "예: 정기 점검, 수리";
        reason_wrong: "Say why, in 100 characters at most.", "사유를 100자 이하로 입력하세요.";
        period_wrong: "The end must come after the beginning.", "종료 일시는 시작 일시 이후여야 합니다.";
        period_taken: "The car is booked or blocked in this period.", "이 기간에 예약이나 사용 제한이 있는 차량입니다.";
        // The names are those of the fields of a period.
        pick_up: "From", "시작";
        pick_up_day: "First day", "시작 날짜";
        pick_up_time: "Time of the beginning", "시작 시간";
        bring_back: "Until", "종료";
        bring_back_day: "Last day", "종료 날짜";
        bring_back_time: "Time of the end", "종료 시간";
        upcoming: "Current and upcoming bookings", "진행 중이거나 예정된 예약";
        nothing_upcoming: "Nobody has booked it.", "예약이 없습니다.";
        ended: "Bookings that ended last", "최근 종료된 예약";
        retire: "Retire", "차량 제외";
        retire_title: "Retire this car?", "차량을 제외하시겠습니까?";
        retire_more: "It can no longer be booked, and its number can never be reused. This cannot be undone.",
            "더 이상 예약을 받을 수 없으며 차량 번호는 다시 사용할 수 없습니다. 되돌릴 수 없는 작업입니다.";
        retire_now: "Retire the car", "차량 제외";
        keep_it: "Keep it", "그대로 두기";

        // Customers.
        find: "Find", "찾기";
        find_what: "Customer or booking", "고객 또는 예약";
        find_note: "Customer number or booking number. You cannot search by name.", "고객 번호 또는 예약 번호를 입력하세요. 이름으로는 검색할 수 없습니다.";
        find_note_mail: "Customer number, booking number or sign-in email address. You cannot search by name.",
            "고객 번호, 예약 번호 또는 고객이 로그인하는 이메일 주소를 입력하세요. 이름으로는 검색할 수 없습니다.";
        found_nothing: "There is neither a customer nor a booking like that.", "일치하는 고객이나 예약이 없습니다.";
        register: "Register a customer", "고객 등록";
        newest: "Newest customers", "최근 등록 고객";
        customer_no: "Customer number", "고객 번호";
        customer_no_note: "Leave empty to have one assigned.", "비워 두면 자동으로 부여됩니다.";
        customer_no_taken: "This number cannot be chosen.", "사용할 수 없는 고객 번호입니다.";
        name: "Name", "이름";
        phone: "Telephone", "전화번호";
        email: "Email address", "이메일 주소";
        licence_no: "Driving licence", "운전면허 번호";
        licence_consent: "The customer consents to the keeping of the licence number.",
            "고객이 운전면허 번호(고유식별정보)의 수집·이용에 동의했습니다.";
        licence_consent_at: "Consent to keeping it", "보관 동의";
        name_wrong: "Needed; 100 characters at most.", "100자 이하로 입력하세요.";
        phone_wrong: "Needed; 40 characters at most.", "40자 이하로 입력하세요.";
        email_wrong: "This is not an email address.", "이메일 주소 형식이 올바르지 않습니다.";
        licence_wrong: "This is not a licence number.", "면허 번호 형식이 올바르지 않습니다.";
        licence_consent_wrong: "The number is kept only with the customer’s consent.", "고객이 동의해야 면허 번호를 저장할 수 있습니다.";
        licence_none: "not given", "미등록";
        consent_unknown: "not recorded", "기록 없음";
        registered_at: "Registered", "등록일";
        unreadable: "cannot be read", "확인할 수 없음";
        no_customers: "There are no customers yet", "등록된 고객이 없습니다";
        no_customers_more: "Register one here, or let them sign up themselves.", "여기에서 등록하거나 고객이 직접 가입할 수 있습니다.";
        no_customers_more_here: "Register the first one here.", "여기에서 첫 고객을 등록하세요.";
        personal_data: "Personal data", "개인정보";
        erased: "The personal data has been erased. Bookings and payments stay accountable.",
            "개인정보가 삭제되었습니다. 예약과 결제 기록은 남아 있습니다.";
        not_registered: "Has booked without being registered, or the data cannot be read.",
            "등록 없이 예약했거나 개인정보를 읽을 수 없는 고객입니다.";
        bookings: "Bookings", "예약";
        no_bookings: "There are no bookings.", "예약이 없습니다.";
        book_for: "Book a car", "차량 예약";
        customer_registered: "The customer is registered.", "고객이 등록되었습니다.";
        erase: "Erase the personal data", "개인정보 삭제";
        erase_title: "Erase this customer’s data?", "이 고객의 개인정보를 삭제하시겠습니까?";
        erase_more: "The customer’s name, phone number, email address and licence number become unreadable everywhere, and the account is closed. Bookings and payments stay. This cannot be undone.",
            "이름, 전화번호, 이메일 주소, 면허 번호를 어디에서도 읽을 수 없게 되며 계정은 해지됩니다. 예약과 결제 기록은 남습니다. 되돌릴 수 없는 작업입니다.";
        erase_now: "Erase for good", "영구 삭제";
        keep_data: "Keep the data", "삭제하지 않기";
        done_erased: "The personal data is erased.", "개인정보가 삭제되었습니다.";

        // Histories.
        history: "History", "이력";
        whole_history: "Full history", "전체 이력";
        no_history: "Nothing has happened yet.", "아직 이력이 없습니다.";
        car_history_note: "Changes made to this car. Each booking has its own history.",
            "이 차량의 변경 내역입니다. 예약별 내역은 각 예약의 이력에서 볼 수 있습니다.";
        not_whole: "This customer has so many bookings that the oldest entries are not shown here; who did what is shown in any case.",
            "이 고객의 예약이 매우 많아 오래된 내역은 표시되지 않습니다. 사람이 처리한 내역은 모두 표시됩니다.";
        older: "Older entries", "이전 이력";
        by_customer: "the customer", "고객";

        // What has just been done, told to those who rent the car out.
        booked_and_paid: "Booked and paid.", "예약과 결제가 완료되었습니다.";
        paid: "Paid.", "결제가 완료되었습니다.";
        declined_notice: "The payment was declined. The car is still held; another way to pay can be tried.",
            "결제가 거절되었습니다. 차량은 아직 확보되어 있으며 다른 결제 수단으로 다시 결제할 수 있습니다.";
        change_out_note: "The car is with the customer, so only the return can change.", "고객이 이용 중인 차량은 반납 일시만 변경할 수 있습니다.";

        // Booking for a customer.
        unknown_customer: "No registered customer has this number.", "이 번호로 등록된 고객이 없습니다.";
        book_unknown: "Book for this number all the same", "등록되지 않은 번호로 예약하기";
        look_up_customer: "Find or register the customer", "고객 찾기 또는 등록";
    } {
        // How a booking stands, told to those who rent the car out.
        paid_a_little_later(until): "Payments are busy. This one will go through shortly by itself. The car is held until {until}.",
            "결제 요청이 많아 잠시 후 자동으로 결제됩니다. {until}까지 차량을 확보해 둡니다.";
        unpaid_until(until): "The car is held until {until} and must be paid by then.", "{until}까지 차량을 확보해 두며, 그때까지 결제해야 합니다.";
        declined_until(until): "The car is held until {until}. Another way to pay can be tried.",
            "{until}까지 차량을 확보해 두며, 다른 결제 수단으로 다시 결제할 수 있습니다.";
        booked_more(from): "Pick-up at {from}.", "{from} 인수 예정입니다.";
        out_more(until): "Due back by {until}.", "{until}까지 반납 예정입니다.";
        overdue_more(until): "It should have been back at {until}.", "{until}에 반납 예정이었습니다.";
        of_car(car): "History of {car}", "{car} 이력";
        of_booking(number): "History of booking {number}", "예약 {number} 이력";
        of_customer(number): "History of customer {number}", "고객 {number} 이력";
        by_staff(id): "staff {id}", "직원 {id}";
        by_program(id): "API client {id}", "API 클라이언트 {id}";
        booking_no(number): "Booking {number}", "예약 {number}";
    }
}
