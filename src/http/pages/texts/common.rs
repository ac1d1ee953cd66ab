//! Words of all pages, and those for what goes wrong.

use super::texts;

texts! {
    /// Words of all pages.
    Common {
        skip: "Skip to the content", "본문으로 건너뛰기";
        navigation: "Main", "주요 메뉴";
        find_a_car: "Find a car", "차량 찾기";
        my_page: "My Page", "마이페이지";
        account: "Account", "계정";
        desk: "Desk", "데스크";
        board: "Board", "배차표";
        cars: "Cars", "차량";
        customers: "Customers", "고객";
        operation: "Operation", "운영";
        audit: "Audit", "감사 기록";
        sign_in: "Sign in", "로그인";
        sign_up: "Sign up", "회원가입";
        sign_out: "Sign out", "로그아웃";
        open_service: "This service has no keys and no accounts: whoever reaches it may do everything.",
            "키와 계정이 설정되지 않은 서비스입니다. 접속한 누구나 모든 작업을 할 수 있습니다.";
        for_programs: "Developer API", "개발자용 API";
        back: "Back", "뒤로";
        history: "History", "이력";
        next_page: "Next page", "다음 페이지";
        first_page: "First page", "첫 페이지";
        apply: "Apply", "적용";
        save: "Save", "저장";

        // What goes wrong.
        go_home: "Go to the home page", "홈으로 이동";
        try_again: "Try again", "다시 시도";
        not_found: "Page not found", "페이지를 찾을 수 없습니다";
        not_found_more: "The address may be mistyped, or the page no longer exists.",
            "주소가 잘못되었거나 삭제된 페이지입니다.";
        forbidden: "This is not for you", "접근 권한이 없습니다";
        forbidden_more: "Your account does not allow it. If you need it, ask an operator.",
            "이 계정으로는 볼 수 없습니다. 필요하면 운영자에게 문의하세요.";
        busy: "Very busy just now", "지금은 요청이 많습니다";
        busy_more: "Nothing was changed. Please try again in a moment.",
            "변경된 내용은 없습니다. 잠시 후 다시 시도해 주세요.";
        starting: "The service is starting", "서비스를 시작하고 있습니다";
        starting_more: "This page loads again by itself.", "이 페이지는 자동으로 새로 고쳐집니다.";
        down: "A part of the service is down", "일부 서비스를 이용할 수 없습니다";
        unknown_outcome: "It is not known yet whether that worked", "처리 결과를 아직 알 수 없습니다";
        unknown_outcome_more: "It is safe to send the form again: nothing is done twice.",
            "양식을 다시 보내도 두 번 처리되지 않으니 안심하고 다시 시도하세요.";
        went_wrong: "That did not work", "처리하지 못했습니다";
        our_mistake: "We have made a mistake", "서비스 오류가 발생했습니다";
        our_mistake_more: "It has been noted.", "오류가 기록되었습니다.";
        stale_form: "This page was open too long", "페이지가 오래되었습니다";
        stale_form_more: "You may have signed in again since. Load the page again and repeat it; nothing was changed.",
            "그 사이에 다시 로그인했을 수 있습니다. 페이지를 새로 고친 뒤 다시 시도하세요. 변경된 내용은 없습니다.";
        accounts_not_offered: "There are no accounts here", "계정 기능을 사용하지 않는 서비스입니다";
    } {
        times_in(zone): "All times are those of {zone}.", "모든 시간은 {zone} 기준입니다.";
        code(code): "Code: {code}", "코드: {code}";
    }
}
