//! Words around the interface description, which itself is in English.

use super::{Language, texts};

texts! {
    /// Words of the page of the interface.
    Api {
        title: "The API", "API";
        lead: "For programs: every call of this service, and a form to try it right here.",
            "이 서비스의 모든 호출을 설명하며 여기에서 바로 실행해 볼 수 있습니다.";
        english_only: "The description itself is in English.", "설명은 영어로 제공됩니다.";
        document: "As a document (OpenAPI 3.1)", "문서로 받기(OpenAPI 3.1)";
        chapters: "Chapters", "목차";
        open_whole: "On a page of its own", "별도 페이지로 보기";
        back_to_all: "All calls", "전체 목록";
        may_call: "Who may call it", "호출 권한";
        parameters: "Parameters", "매개변수";
        body: "Body", "본문";
        needed: "needed", "필수";
        answers: "Answers", "응답";
        example: "Example", "예시";
        members: "Members", "항목";
        try_it: "Try it", "실행해 보기";
        try_note: "It is a real call to this very service.", "이 서비스에 실제로 요청합니다.";
        try_signed_in: "It is made in your name, with the session of this browser, unless you give a token.",
            "토큰을 입력하지 않으면 현재 브라우저의 로그인 세션으로 요청합니다.";
        token: "Token", "토큰";
        token_note: "Of an API key, or a JWT", "API 키 또는 JWT";
        send: "Send", "보내기";
        stop: "Stop", "중지";
        no_answer: "No answer", "응답 없음";
        cut: "The rest is not shown.", "나머지는 표시하지 않습니다.";
        from_a_shell: "From a shell", "셸에서 실행";
        in_path: "path", "경로";
        in_query: "query", "쿼리";
        in_header: "header", "헤더";
        everybody: "everybody", "누구나";
        customer: "customers for themselves, and staff", "고객 본인, 직원";
        account: "whoever has signed in", "로그인한 사용자";
        staff: "staff", "직원";
        operators: "operators", "운영자";
        monitoring: "operators and monitoring", "운영자, 모니터링";
    }
}

/// Who may make a call, by the word of the interface description.
pub fn access_in_words(language: Language, access: &str) -> &'static str {
    let t = Api::of(language);
    match access {
        "customer" => t.customer,
        "account" => t.account,
        "staff" => t.staff,
        "operators" => t.operators,
        "operators, monitoring" => t.monitoring,
        _ => t.everybody,
    }
}
