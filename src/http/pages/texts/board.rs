//! Words of the board and the desk.

use super::texts;

texts! {
    /// Words of the board and the desk.
    Board {
        branch: "Branch", "지점";
        every_branch: "All branches", "전체 지점";
        car_class: "Class", "차급";
        every_class: "All classes", "전체 차급";
        day: "Day", "날짜";
        today: "Today", "오늘";
        view: "View", "보기";
        car: "Car", "차량";

        // The board.
        week: "Week", "주";
        month: "Month", "월";
        time_line: "Timeline", "타임라인";
        list: "List", "목록";
        week_before: "The week before", "이전 주";
        week_after: "The week after", "다음 주";
        month_before: "The month before", "이전 달";
        month_after: "The month after", "다음 달";
        legend: "What the colours mean", "색상 안내";
        arrow_keys: "Arrow keys go from bar to bar and from car to car.", "화살표 키로 예약과 차량 사이를 이동할 수 있습니다.";
        more_cars: "More cars", "차량 더 보기";
        when: "When", "기간";
        whom: "Customer or reason", "고객 또는 사유";
        state: "State", "상태";
        by_car: "By car", "차량순";
        by_time: "By time", "시간순";
        of_this_page: "Of the cars of this page.", "이 페이지에 있는 차량의 일정입니다.";
        no_cars: "There are no cars here", "차량이 없습니다";
        no_cars_more: "Choose another branch or class, or register a car.", "다른 지점이나 차급을 선택하거나 차량을 등록하세요.";
        no_entries: "Nothing stands here", "일정이 없습니다";
        no_entries_more: "These cars have no bookings and no blocks in this time.", "이 기간에는 예약과 사용 제한 일정이 없습니다.";
        retired: "Left the fleet", "제외됨";

        // How things stand.
        held: "Held, not paid", "결제 대기";
        changing: "Change under way", "변경 진행 중";
        paid: "Paid", "결제 완료";
        not_collected: "Not collected", "미인수";
        out: "On the road", "이용 중";
        overdue: "Overdue", "반납 지연";
        returned: "Returned", "반납 완료";
        blocked: "Blocked", "사용 제한";

        // The desk.
        day_before: "The day before", "이전 날";
        day_after: "The day after", "다음 날";
        pick_ups: "Pick-ups", "인수 예정";
        returns: "Returns", "반납 예정";
        none_overdue: "Nothing is overdue.", "반납이 지연된 차량이 없습니다.";
        no_pick_ups: "Nobody comes for a car.", "인수 예정이 없습니다.";
        no_returns: "No car is due back.", "반납 예정이 없습니다.";
        hand_over: "Hand over", "인도";
        take_back: "Record return", "반납 처리";
        choose_a_branch: "There is more than fits here. Choose a branch to see all of it.",
            "표시할 항목이 너무 많습니다. 지점을 선택하면 모두 볼 수 있습니다.";
        handed_over: "The car is handed over.", "차량을 인도했습니다.";
        taken_back: "The car is back.", "차량 반납을 처리했습니다.";

        // Hand-over and return.
        hand_over_title: "Hand the car over", "차량 인도";
        take_back_title: "Return the car", "차량 반납 처리";
        booking: "Booking", "예약";
        odometer: "Odometer, in km", "주행 거리(km)";
        fuel: "Fuel or charge, in %", "연료·충전량(%)";
        condition: "Condition", "차량 상태";
        condition_note: "Such as scratches. Nothing about the customer.", "흠집 등을 적어 주세요. 고객에 관한 내용은 적지 마세요.";
        licence: "I have checked the customer’s driving licence", "고객의 운전면허증을 확인했습니다";
        licence_wrong: "Check the licence first: no car is handed over without.", "운전면허증을 먼저 확인해야 차량을 인도할 수 있습니다.";
        at_pick_up: "At pick-up", "인수 시";
        odometer_told: "Odometer", "주행 거리";
        fuel_told: "Fuel or charge", "연료·충전량";
        see_booking: "View booking", "예약 보기";
        to_desk: "Back to the desk", "데스크로 돌아가기";
    } {
        cars_of(branch, class): "{branch} · {class}", "{branch} · {class}";
        next_customer(customer, at): "Next: {customer}, {at}", "다음 고객: {customer} 님, {at}";
        still_out(customer, at): "Still with {customer}, due back {at}", "{customer} 님 이용 중, {at} 반납 예정";
        still_overdue(customer, at): "Still with {customer}, overdue since {at}", "{customer} 님 이용 중, {at}부터 반납 지연";
        early(at): "Pick-up is not due until {at}. If you hand the car over now, the rental starts now.",
            "인수 예정 일시는 {at}입니다. 지금 인도하면 지금부터 이용\u{a0}중으로 처리됩니다.";
        odometer_wrong(most): "A whole number up to {most}.", "{most} 이하의 정수를 입력하세요.";
        fuel_wrong(most): "A whole number up to {most}.", "{most} 이하의 정수를 입력하세요.";
        condition_wrong(most): "{most} characters at most.", "{most}자까지 입력할 수 있습니다.";
        kilometres(km): "{km} km", "{km} km";
        percent(percent): "{percent}%", "{percent}%";
    }
}
