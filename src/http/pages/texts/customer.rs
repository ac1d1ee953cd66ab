//! Words of the pages for customers.

use super::texts;

texts! {
    /// Words of the pages for customers.
    Customer {
        // Search.
        search_title: "When do you need a car?", "언제 차량이 필요하세요?";
        search_lead: "Choose your dates. The price you see is the price you pay.",
            "대여 기간을 선택하세요. 표시된 금액이 최종 금액입니다.";
        pick_up: "Pick-up", "인수";
        pick_up_day: "Day of the pick-up", "인수 날짜";
        pick_up_time: "Time of the pick-up", "인수 시간";
        bring_back: "Return", "반납";
        bring_back_day: "Day of the return", "반납 날짜";
        bring_back_time: "Time of the return", "반납 시간";
        branch: "Branch", "지점";
        every_branch: "All branches", "전체 지점";
        car_class: "Class", "차급";
        every_class: "All classes", "전체 차급";
        search: "Search", "검색";
        period_wrong: "The return must come after the pick-up.", "반납 일시는 인수 일시 이후여야 합니다.";
        free_cars: "Available cars", "이용 가능한 차량";
        none_free: "No cars available for these dates", "이 기간에 이용 가능한 차량이 없습니다";
        no_more_free: "There are no more", "더 이상 차량이 없습니다";
        none_free_more: "Try another branch or class, or other dates.",
            "다른 지점이나 차급을 선택하거나 날짜를 조금 바꿔 보세요.";
        other_dates: "Try other dates.", "다른 날짜를 선택해 보세요.";
        choose: "Choose", "선택";
        more_cars: "More cars", "차량 더 보기";
        no_cars_yet: "There are no cars yet", "아직 등록된 차량이 없습니다";
        no_cars_yet_more: "As soon as staff register one, it can be found here.",
            "직원이 차량을 등록하면 여기에서 검색할 수 있습니다.";

        // Booking.
        book_title: "Book this car", "예약하기";
        search_again: "Search again", "다시 검색";
        when: "When", "기간";
        car: "Car", "차량";
        car_number: "Licence plate", "차량 번호";
        daily_rate: "Daily rate", "1일 요금";
        price: "Price", "금액";
        cancellation_free: "Free to cancel until the pick\u{2011}up.", "인수 전까지 무료로 취소할 수 있습니다.";
        pay: "Payment", "결제";
        for_customer: "Customer number", "고객 번호";
        for_customer_note: "The number of the customer who rents the car.", "차량을 대여하는 고객의 번호입니다.";
        pay_with: "Pay with", "결제 수단";
        test_card: "Test card", "테스트 카드";
        sandbox_note: "Test payments only: no money is charged.", "테스트 결제입니다. 실제 금액은 결제되지 않습니다.";
        card_token: "Card token", "카드 토큰";
        card_token_note: "The token that the payment provider has given for the card. Never type a card number here.",
            "결제 대행사가 발급한 카드 토큰입니다. 카드 번호는 입력하지 마세요.";
        or_hold: "Or", "또는";
        hold_only: "hold the car now and pay later", "지금은 차량만 확보하고 나중에 결제하기";
        sign_in_to_book: "Almost there", "거의 다 되었습니다";
        sign_in_to_book_more: "Sign in, or sign up in a minute, and book this car.",
            "로그인하거나 1분 만에 가입하고 이 차량을 예약하세요.";

        // Signing in and up.
        sign_in_title: "Sign in", "로그인";
        email: "Email address", "이메일 주소";
        password: "Password", "비밀번호";
        new_password: "New password", "새 비밀번호";
        password_note: "At least 8 characters, and none of the most common passwords.",
            "8자 이상 입력하세요. 흔히 쓰는 비밀번호는 사용할 수 없습니다.";
        forgotten: "Forgotten your password?", "비밀번호를 잊으셨나요?";
        no_account: "No account yet?", "아직 계정이 없으신가요?";
        have_account: "Already have an account?", "이미 계정이 있으신가요?";
        sign_up_title: "Sign up", "회원가입";
        name: "Full name", "이름";
        phone: "Telephone", "전화번호";
        licence_no: "Driving licence number", "운전면허 번호";
        optional: "optional", "선택";
        licence_consent: "I consent to the keeping of my licence number, so that the pick-up is quicker. I can withdraw this by erasing my data.",
            "빠른 인수를 위해 운전면허 번호(고유식별정보)를 수집·이용하는 데 동의합니다. 개인정보를 삭제하면 동의가 철회됩니다.";
        sign_up_note: "Your data is stored encrypted, and you can delete it yourself at any time.",
            "개인정보는 암호화되어 저장되며, 언제든지 직접 삭제할 수 있습니다.";
        name_wrong: "Please tell us your name.", "이름을 입력해 주세요.";
        phone_wrong: "Please tell us a telephone number.", "전화번호를 입력해 주세요.";
        email_wrong: "This is not an email address.", "이메일 주소 형식이 올바르지 않습니다.";
        password_wrong: "Choose at least 8 characters, and none of the most common passwords.",
            "8자 이상이어야 하며 흔히 쓰는 비밀번호는 사용할 수 없습니다.";
        licence_wrong: "This is not a licence number.", "면허 번호 형식이 올바르지 않습니다.";
        licence_consent_wrong: "The number is kept only with your consent.", "동의해야 면허 번호를 저장할 수 있습니다.";
        forgotten_title: "Reset your password", "비밀번호 재설정";
        forgotten_lead: "Enter your email address and we’ll send you a link to set a new password.",
            "이메일 주소를 입력하면 새 비밀번호를 설정할 수 있는 링크를 보내 드립니다.";
        send_link: "Send the link", "링크 보내기";
        link_sent: "If there is an account with this address, a link is on its way.",
            "해당 주소의 계정이 있으면 링크를 보내 드립니다.";
        reset_title: "Set a new password", "새 비밀번호 설정";
        reset_token: "Code from the message", "메시지로 받은 코드";
        set_password: "Set the password", "비밀번호 설정";
        password_was_set: "The new password is set. Sign in with it.", "비밀번호가 변경되었습니다. 새 비밀번호로 로그인하세요.";

        // A reservation.
        booking: "Booking", "예약";
        booking_number: "Booking number", "예약 번호";
        booking_now: "Current booking", "현재 예약";
        customer: "Customer", "고객";
        odometer: "Odometer", "주행 거리";
        being_paid: "Payment pending", "결제 처리 중";
        payment_in_doubt: "We are asking the payment provider. This page shows it by itself as soon as it is known.",
            "결제 대행사에 확인하고 있습니다. 결과는 이 페이지에 자동으로 표시됩니다.";
        unpaid: "Payment due", "결제 대기";
        declined: "Payment declined", "결제 거절";
        declined_notice: "The payment was declined. Your car is still held; try another way to pay.",
            "결제가 거절되었습니다. 차량은 아직 확보되어 있으니 다른 결제 수단을 이용해 주세요.";
        booked: "Paid", "결제 완료";
        not_collected: "Not collected", "미인수";
        not_collected_more: "The time of this booking is over, and nobody has come for the car.",
            "예약 시간이 지났지만 차량을 인수하지 않았습니다.";
        out: "On the road", "이용 중";
        overdue: "Overdue", "반납 지연";
        cancelled: "Cancelled", "취소됨";
        cancelled_on: "Cancelled on", "취소 일시";
        ended_on: "Ended on", "종료 일시";
        refund_in_doubt: "What was paid goes back as soon as the payment provider has answered.",
            "결제 대행사의 응답이 오는 대로 환불됩니다.";
        expired: "Expired", "만료됨";
        completed: "Returned", "반납 완료";
        no_show: "Not collected", "미인수 종료";
        hand_over: "Hand over", "차량 인도";
        take_back: "Record return", "반납 처리";
        change_it: "Change booking", "예약 변경";
        cancel_it: "Cancel booking", "예약 취소";
        done_booked: "Booked and paid. Have a good trip!", "예약과 결제가 완료되었습니다. 즐거운 여행 하세요!";
        done_paid: "Paid. Have a good trip!", "결제가 완료되었습니다. 즐거운 여행 하세요!";
        done_cancelled: "The booking is cancelled.", "예약이 취소되었습니다.";
        done_changed: "The booking is changed.", "예약이 변경되었습니다.";
        cancel_title: "Cancel this booking?", "예약을 취소하시겠습니까?";
        cancel_pending: "A payment is still in doubt. Whatever was paid goes back.",
            "결제 결과를 확인하고 있습니다. 결제된 금액은 환불됩니다.";
        fee: "Fee", "수수료";
        goes_back: "Refund", "환불 금액";
        cancel_free: "Cancelling costs nothing.", "수수료가 없습니다.";
        cancel_now: "Cancel the booking", "예약 취소";
        keep_it: "Keep it", "그대로 두기";
        keep_as_it_is: "Keep the booking as it is", "예약 그대로 두기";
        waive_fee: "Waive the fee", "수수료 면제";
        waive_not: "No", "면제하지 않음";
        waiver_company_fault: "The company’s fault", "회사 귀책";
        waiver_car_unavailable: "The car cannot be had", "차량 제공 불가";
        waiver_goodwill: "Goodwill", "고객 배려";
        waiver_other: "Another reason", "기타";
        change_title: "Change this booking", "예약 변경";
        change_out_note: "The car is with you, so only the return can change.", "이용 중인 차량은 반납 일시만 변경할 수 있습니다.";
        see_price: "Check and see the price", "가능 여부와 금액 확인";
        change_to: "What changes", "변경 내용";
        new_price: "New price", "변경 후 금액";
        to_pay: "To pay now", "추가 결제 금액";
        same_price: "Nothing to pay or give back.", "추가 결제나 환불 금액이 없습니다.";
        search_then: "See which cars are available then", "이 기간에 이용 가능한 차량 보기";
        change_now: "Change booking", "변경하기";

        // My Page and the account.
        your_bookings: "Your bookings", "예약 내역";
        ended_bookings: "Past and cancelled bookings", "지난 예약·취소 내역";
        no_bookings: "No bookings yet", "아직 예약이 없습니다";
        no_bookings_more: "Find a car, and your booking appears here at once.", "차량을 예약하면 여기에 바로 표시됩니다.";
        older_bookings: "Older bookings", "이전 예약";
        history: "History", "이용 기록";
        no_history: "Nothing has happened yet.", "아직 기록이 없습니다.";
        older_history: "Older entries", "이전 기록";
        your_data: "Your data", "내 정보";
        customer_number: "Customer number", "고객 번호";
        download_data: "Download all my data", "내 데이터 내려받기";
        download_note: "Everything that is stored about you, as one JSON file.", "저장된 모든 정보를 JSON 파일 하나로 받습니다.";
        change_password: "Change the password", "비밀번호 변경";
        old_password: "Current password", "현재 비밀번호";
        old_password_wrong: "The current password is wrong.", "현재 비밀번호가 올바르지 않습니다.";
        done_password: "The password is changed. All other sessions have ended.", "비밀번호가 변경되었으며 다른 기기에서 로그아웃되었습니다.";
        done_session: "Signed out there.", "해당 기기에서 로그아웃되었습니다.";
        done_erased: "Your personal data is erased.", "개인정보가 삭제되었습니다.";
        calendar: "Calendar", "캘린더";
        calendar_lead: "Make a link and subscribe to it in your calendar app. Anyone with the link can see your bookings; a new link disables the old one.",
            "링크를 만들어 캘린더 앱에서 구독하면 예약이 표시됩니다. 링크를 아는 사람은 누구나 예약을 볼 수 있으며, 새 링크를 만들면 이전 링크는 사용할 수 없습니다.";
        calendar_make: "Make a link", "링크 만들기";
        calendar_renew: "Make a new link", "새 링크 만들기";
        calendar_link: "Calendar link", "캘린더 링크";
        calendar_name: "Car bookings", "차량 예약";
        done_calendar: "Here is your link.", "링크가 만들어졌습니다.";
        sessions: "Where you are signed in", "로그인한 기기";
        this_browser: "This browser", "현재 브라우저";
        another_browser: "Another browser", "다른 브라우저";
        end_others: "Sign out everywhere else", "다른 모든 기기에서 로그아웃";
        erase_title: "Erase my data", "개인정보 삭제";
        erase_lead: "Your name, phone number, email address and licence number are erased for good, and your account with them.",
            "이름, 전화번호, 이메일 주소, 면허 번호와 계정이 영구히 삭제됩니다.";
        erase_open: "Erase my data…", "개인정보 삭제하기…";
        erase_what: "Your name, phone number, email address and licence number become unreadable everywhere, backups included, and nobody can sign in with this account any more. This cannot be undone.",
            "이름, 전화번호, 이메일 주소, 면허 번호는 백업을 포함한 모든 곳에서 읽을 수 없게 되며, 이 계정으로는 더 이상 로그인할 수 없습니다. 되돌릴 수 없습니다.";
        erase_kept: "Bookings and payments are kept under a number without your name, as the law requires.",
            "예약과 결제 기록은 법에 따라 이름 없이 번호로만 보관됩니다.";
        erase_understood: "I understand that this cannot be undone.", "되돌릴 수 없음을 이해했습니다.";
        erase_unticked: "Please confirm that you understand.", "동의 여부를 확인해 주세요.";
        erase_now: "Erase for good", "영구 삭제";
    } {
        hello(name): "Hello, {name}", "{name}님, 안녕하세요";
        welcome(name): "Welcome, {name}.", "{name}님, 가입을 환영합니다.";
        held_for(time): "The car is held for {time}.", "{time} 동안 확보해 둡니다.";
        calendar_entry(model): "Rented car: {model}", "차량 대여: {model}";
        signed_in_at(at): "Signed in {at}", "로그인 {at}";
        used_at(at): "last used {at}", "최근 사용 {at}";
        paid_a_little_later(until): "Payments are busy. Yours will go through shortly; there is nothing you need to do. Your car is held until {until}.",
            "결제 요청이 많아 잠시 후 자동으로 결제합니다. 따로 하실 일은 없으며 {until}까지 차량을 확보해 둡니다.";
        unpaid_until(until): "Your car is held until {until}. Pay before that.", "{until}까지 차량을 확보해 둡니다. 그 전에 결제해 주세요.";
        declined_until(until): "Your car is held until {until}. Try another way to pay.",
            "{until}까지 차량을 확보해 둡니다. 다른 결제 수단을 이용해 주세요.";
        booked_more(from): "You can pick the car up from {from}.", "{from}부터 인수할 수 있습니다.";
        out_more(until): "Bring it back by {until}.", "{until}까지 반납해 주세요.";
        overdue_more(until): "It should have been back at {until}. Please bring it back, or change the booking.",
            "{until}에 반납 예정이었습니다. 반납하거나 예약을 변경해 주세요.";
        at_pick_up(odometer): "{odometer} at pick\u{2011}up", "인수 시 {odometer}";
        at_return(odometer): "{odometer} at return", "반납 시 {odometer}";
        fee_of(amount): "Fee {amount}", "수수료 {amount}";
        expired_more(at): "It was not paid in time ({at}).", "제시간에 결제되지 않았습니다({at}).";
        completed_more(at): "The car came back at {at}.", "{at}에 반납되었습니다.";
        change_waits(period, until): "A change to {period} waits for its payment until {until}.",
            "{period}(으)로 변경하려면 {until}까지 결제해야 합니다.";
        pay_amount(amount): "Pay {amount}", "{amount} 결제";
        change_and_pay(amount): "Change and pay {amount}", "{amount} 결제하고 변경";
        cancellation_terms(hours, percent): "Free to cancel until {hours} hours before the pick\u{2011}up; {percent}% of the price after that.",
            "인수 {hours}시간 전까지 무료로 취소할 수 있으며, 이후에는 총금액의 {percent}%가 부과됩니다.";
        rate_of_days(rate, days): "{rate} × {days}", "{rate} × {days}";
        several_free(count): "{count} available", "{count}대 이용 가능";
        a_day(rate): "{rate} a day", "1일 {rate}";
        total(price): "{price} total", "총 {price}";
        book_and_pay(price): "Book and pay {price}", "{price} 결제하고 예약";
    }
}
