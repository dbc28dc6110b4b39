"""What reading HTML promises: the page as browsers parse and show it, one line for formulas, code with its lines."""

import pytest
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from places import CASES
from ragloom.components.source.base import CannotRead
from ragloom.components.source.readers import html_reader
from ragloom.components.source.readers.file_types import parse_file
from ragloom.components.source.readers.mathml import math_text


def text_of(html: str | bytes) -> str:
    return parse_file("a.html", html.encode() if isinstance(html, str) else html)[0]


def body(html: str) -> str:
    return text_of(f"<!DOCTYPE html><meta charset=utf-8><body>{html}")


def math(markup: str) -> str:
    element = LexborHTMLParser(f"<math>{markup}</math>").css_first("math")
    return math_text(element)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("html-no-body-tag.html", "The chain is oiled once a month."),
        ("html-two-documents.html", "On day one the frame is welded.\n\nOn day two the frame is painted."),
        (
            "html-code-with-line-numbers.html",
            "Example:\n\n```\ndef grow(n):\n    if n > 3:\n        return n\n```",
        ),
        ("html-stale-charset-euckr.html", "Price list of the yard, valid for café guests.\n\n© Fen Bikes 2024"),
        ("html-math-fraction.html", "Take 1/2 tablet a day, at most 10^3 drops."),
        (
            "html-list-letters.html",
            "Duties\n\na. Keep it dry.\nb. Keep it cool.\n\nSee point b. Ranking:\n\n3. Bronze\n2. Silver\n1. Gold",
        ),
    ],
)
def test_html_case_of_the_collection_is_read_as_a_browser_shows_it(name: str, expected: str) -> None:
    assert text_of((CASES / name).read_bytes()) == expected


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><title>t</title><main>x</main>y",
        "<header>x</header>y",
        "<html><head><title>t</title></head><article>x</article>y",
        "<html><head></head></html><section>x</section>y",
        "<my-app>x</my-app><p>y",
        "<html><body>x</body></html><p>y</p>",
        "<html><body>x</body></html><!-- z --><html><head><title>2</title></head><body><p>y</body></html>",
        "x<frameset></frameset><p>y",
        "<head><noscript><img src=p></noscript><title>t</title></head><p>x<p>y",
    ],
)
def test_html_with_missing_or_repeated_outer_tags_loses_nothing(page: str) -> None:
    assert text_of(page).split() in (["x", "y"], ["xy"])


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ("<ol type=A><li>x<li>y</ol>", "A. x\nB. y"),
        ("<ol type=i start=4><li>x<li>y</ol>", "iv. x\nv. y"),
        ("<ol type=I><li>x<li value=9>y<li>z</ol>", "I. x\nIX. y\nX. z"),
        ("<ol type=a start=26><li>x<li>y</ol>", "z. x\naa. y"),
        ("<ol start=-1><li>x<li>y<li>z</ol>", "-1. x\n0. y\n1. z"),
        ("<ol type=a start=0><li>x<li>y</ol>", "0. x\na. y"),
        ("<ol reversed start=10><li>x<li>y</ol>", "10. x\n9. y"),
        ("<ol reversed><li>x<ol><li>inner<li>two</ol><li>y</ol>", "2. x\n  1. inner\n  2. two\n1. y"),
        ("<ol reversed><li>x<li value=7>y<li>z</ol>", "3. x\n7. y\n6. z"),
        ("<ol><li type=i>x<li>y</ol>", "i. x\n2. y"),
        ("<ol style='list-style-type: upper-roman'><li>x</ol>", "I. x"),
        ("<ol style='list-style: hangul inside'><li>x<li>y</ol>", "가. x\n나. y"),
        ("<ol style='list-style-type:decimal-leading-zero'><li>x</ol>", "01. x"),
        ("<ol style='list-style:none'><li>(1) x</ol>", "- (1) x"),
        ("<ul style='list-style-type:lower-greek'><li>x<li>y</ul>", "α. x\nβ. y"),
        ("<ul><li>x<ol type=a><li>y</ol></ul>", "- x\n  a. y"),
        ("<table><tr><td><ol type=a><li>x<li>y</ol><td>z<tr><td>1<td>2</table>",
         "| a. x; b. y | z |\n| --- | --- |\n| 1 | 2 |"),
    ],
)  # fmt: skip
def test_html_list_items_have_the_numbers_that_the_page_shows(lists: str, expected: str) -> None:
    assert body(lists) == expected


CODE = "```\ndef f():\n    return 1\n```"
LINES = "def f():\n    return 1\n"


@pytest.mark.parametrize(
    "page",
    [
        f'<table class="rouge-table"><tbody><tr><td class="rouge-gutter gl"><pre class="lineno">1\n2\n</pre></td>'
        f'<td class="rouge-code"><pre>{LINES}</pre></td></tr></tbody></table>',
        # Hugo
        '<div class="highlight"><div class="chroma"><table class="lntable"><tr><td class="lntd"><pre class="chroma">'
        '<code><span class="lnt">1\n</span><span class="lnt">2\n</span></code></pre></td><td class="lntd"><pre><code>'
        '<span class="line"><span class="cl">def f():\n</span></span>    return 1\n</code></pre></td></tr></table>',
        # Sphinx
        '<div class="highlight-python notranslate"><table class="highlighttable"><tr><td class="linenos">'
        '<div class="linenodiv"><pre><span class="normal">1</span>\n<span class="normal">2</span></pre></div></td>'
        f'<td class="code"><div class="highlight"><pre><span></span>{LINES}</pre></div></td></tr></table></div>',
        # Hexo
        '<figure class="highlight py"><table><tr><td class="gutter"><pre><span class="line">1</span><br>'
        '<span class="line">2</span><br></pre></td><td class="code"><pre><span class="line">def f():</span><br>'
        '<span class="line">    return 1</span><br></pre></td></tr></table></figure>',
        # Pandoc
        '<table class="sourceCode python numberLines"><tr class="sourceCode"><td class="lineNumbers"><pre>1\n2</pre>'
        f'</td><td class="sourceCode"><pre><code>{LINES}</code></pre></td></tr></table>',
        # Rouge, a row for each line
        '<table class="rouge-line-table"><tr id="line-1"><td class="rouge-gutter gl"><pre>1\n</pre></td>'
        '<td class="rouge-code"><pre>def f():\n</pre></td></tr><tr id="line-2"><td class="rouge-gutter gl"><pre>2\n'
        '</pre></td><td class="rouge-code"><pre>    return 1\n</pre></td></tr></table>',
        # GitHub
        '<table class="highlight"><tr><td id="L1" class="blob-num" data-line-number="1"></td>'
        '<td class="blob-code">def f():</td></tr>\n  <tr><td id="L2" class="blob-num" data-line-number="2"></td>\n'
        '<td class="blob-code">    return 1</td></tr></table>',
        # Trac
        '<table class="code"><thead><tr><th class="lineno">Line</th><th class="content">&nbsp;</th></tr></thead><tbody>'
        '<tr><th id="L1"><a href="#L1">1</a></th><td>def f():</td></tr><tr><th id="L2"><a href="#L2">2</a></th>'
        "<td>    return 1</td></tr></tbody></table>",
        # highlightjs-line-numbers
        '<pre><code class="hljs"><table class="hljs-ln"><tr><td class="hljs-ln-line hljs-ln-numbers" '
        'data-line-number="1"><div class="hljs-ln-n" data-line-number="1"></div></td><td class="hljs-ln-code">def f():'
        '</td></tr><tr><td class="hljs-ln-line hljs-ln-numbers" data-line-number="2"></td>'
        '<td class="hljs-ln-code">    return 1</td></tr></table></code></pre>',
        # SyntaxHighlighter
        '<div class="syntaxhighlighter"><table><tr><td class="gutter"><div class="line number1">1</div>'
        '<div class="line number2">2</div></td><td class="code"><div class="container"><div class="line">'
        '<code>def</code> <code>f():</code></div><div class="line"><code>&nbsp;&nbsp;&nbsp;&nbsp;</code>'
        "<code>return 1</code></div></div></td></tr></table></div>",
        # line numbers within the code: Sphinx, Hugo, Prism, google-code-prettify, Doxygen
        '<pre><span class="linenos">1</span>def f():\n<span class="linenos">2</span>    return 1\n</pre>',
        '<pre><code><span class="ln">1</span>def f():\n<span class="ln">2</span>    return 1\n</code></pre>',
        '<pre class="line-numbers"><code>def f():\n    return 1<span aria-hidden="true" class="line-numbers-rows">'
        "<span></span><span></span></span></code></pre>",
        '<pre class="prettyprint linenums"><ol class="linenums"><li class="L0">def f():</li>'
        '<li class="L1">    return 1</li></ol></pre>',
        '<div class="fragment"><div class="line"><span class="lineno">    1</span>def f():</div>\n'
        '<div class="line"><span class="lineno">    2</span>    return 1</div>\n</div>',
        '<pre><code><div class="line">def f():</div><div class="line">    return 1</div></code></pre>',
    ],
)  # fmt: skip
def test_html_code_keeps_lines_and_indentation_without_line_numbers(page: str) -> None:
    assert body(f"<p>See:</p>{page}<p>After.") == f"See:\n\n{CODE}\n\nAfter."


def test_html_code_of_several_lines_in_a_table_keeps_its_lines() -> None:
    rows = f"<tr><th>Call<th>Code<tr><td>f<td><pre>{LINES}</pre>"
    assert body(f"<table>{rows}</table>") == f"Call\n\nCode\n\nf\n\n{CODE}"


def test_html_table_with_numbers_and_short_code_stays_a_table() -> None:
    rows = "<tr><th>No.<th>Command<tr><td>1<td><code>ls</code><tr><td>2<td><code>cd</code>"
    assert body(f"<table>{rows}</table>") == "| No. | Command |\n| --- | --- |\n| 1 | ls |\n| 2 | cd |"
    rows = "<tr><td>1<td><pre>ls</pre><tr><td>2<td><pre>cd</pre>"
    assert body(f"<table>{rows}</table>") == "| 1 | ls |\n| --- | --- |\n| 2 | cd |"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<mfrac><mn>1</mn><mn>2</mn></mfrac>", "1/2"),
        ("<mn>2</mn><mfrac><mn>1</mn><mn>2</mn></mfrac>", "2 1/2"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mrow><mn>2</mn><mi>c</mi></mrow></mfrac>", "(a+b)/(2c)"),
        ("<mfrac><mfrac><mn>1</mn><mn>2</mn></mfrac><mn>3</mn></mfrac>", "(1/2)/3"),
        ("<mfrac linethickness=0><mi>n</mi><mi>k</mi></mfrac>", "(n over k)"),
        ("<mfrac><mn>1</mn><mn>2</mn></mfrac><mi>x</mi>", "1/2 x"),
        ("<msup><mn>10</mn><mn>3</mn></msup>", "10^3"),
        ("<msup><mn>10</mn><mrow><mo>−</mo><mn>3</mn></mrow></msup>", "10^−3"),
        ("<msup><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msup>", "x^(n+1)"),
        ("<msup><mi>x</mi><mn>2</mn></msup><mi>y</mi>", "x^2 y"),
        ("<msup><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></msup>", "(a+b)^2"),
        ("<msup><msup><mi>a</mi><mn>2</mn></msup><mn>3</mn></msup>", "(a^2)^3"),
        ("<msup><mfrac><mn>1</mn><mn>2</mn></mfrac><mn>3</mn></msup>", "(1/2)^3"),
        ("<msup><mi>H</mi><mo>+</mo></msup>", "H^+"),
        ("<msup><mn>90</mn><mo>∘</mo></msup>", "90°"),
        ("<msup><mi>f</mi><mo>′</mo></msup>", "f′"),
        ("<msub><mi>x</mi><mn>1</mn></msub><mn>2</mn>", "x_1 2"),
        ("<msub><mi>log</mi><mn>2</mn></msub><mn>8</mn>", "log_2 8"),
        ("<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>", "x_1^2"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover><mi>i</mi>",
            "∑_(i=1)^n i",
        ),
        ("<munder><mi>lim</mi><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder>", "lim_(x→0)"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", "x\u0304"),
        ("<mover><mrow><mi>A</mi><mi>B</mi></mrow><mo>¯</mo></mover>", "¯(AB)"),
        ("<mmultiscripts><mi>C</mi><mprescripts/><mn>6</mn><mn>14</mn></mmultiscripts>", "_6^14 C"),
        ("<msqrt><mn>2</mn></msqrt>", "√2"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", "√(x+1)"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "√[3](x)"),
        ("<msqrt><mn>2</mn></msqrt><mn>3</mn>", "√2 3"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a,b)"),
        ("<mfenced open=[ close=] separators=;><mn>1</mn><mn>2</mn></mfenced>", "[1;2]"),
        (
            "<mo>(</mo><mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr>"
            "<mtr><mtd><mn>3</mn></mtd><mtd><mn>4</mn></mtd></mtr></mtable><mo>)</mo>",
            "(1, 2; 3, 4)",
        ),
        ("<mtable><mtr><mtd><mn>1</mn></mtd></mtr><mtr><mtd><mn>2</mn></mtd></mtr></mtable>", "[1; 2]"),
        ("<mi>sin</mi><mo>&#x2061;</mo><mi>x</mi>", "sin x"),
        ("<mi>f</mi><mo>&#x2061;</mo><mo>(</mo><mi>x</mi><mo>)</mo>", "f(x)"),
        ("<mn>3</mn><mo>&#x2062;</mo><mn>4</mn>", "3·4"),
        ("<mn>3</mn><mo>&#x2062;</mo><mi>x</mi>", "3x"),
        ("<msub><mi>a</mi><mrow><mn>1</mn><mo>&#x2063;</mo><mn>2</mn></mrow></msub>", "a_(1,2)"),
        ("<mn>2</mn><mo>&#x2064;</mo><mfrac><mn>3</mn><mn>4</mn></mfrac>", "2 3/4"),
        ("<mtext>if </mtext><mi>x</mi>", "if x"),
        ("<mn>1</mn><mn>2</mn>", "1 2"),
        ("<semantics><mrow><mi>x</mi></mrow><annotation encoding=application/x-tex>\\x</annotation></semantics>", "x"),
        ("<mrow>" * 3000 + "<mn>5</mn>", "5"),
        ("12", "12"),
    ],
)
def test_mathml_is_one_line_that_cannot_be_read_as_another_number(markup: str, expected: str) -> None:
    assert math(markup) == expected


@pytest.mark.parametrize(
    ("inline", "expected"),
    [
        ("10<sup>3</sup> m", "10^3 m"),
        ("10<sup>−3</sup>", "10^−3"),
        ("10<sup>3</sup>5", "10^3 5"),
        ("5 m<sup>2</sup>", "5 m^2"),
        ("(a+b)<sup>2</sup>", "(a+b)^2"),
        ("e<sup>x+1</sup>", "e^(x+1)"),
        ("2<sup>2<sup>n</sup></sup>", "2^(2^n)"),
        ("in 2019<sup><a href='#fn1'>1</a></sup>", "in 2019[^1]"),
        ("in 2019<a href='#fn1'><sup>1</sup></a>", "in 2019[^1]"),
        ("in 2019<sup>1</sup>", "in 2019^1"),
        ("it costs 5.<sup>1</sup>", "it costs 5.^1"),
        ("a word<sup id=r><a href='#n'>[1]</a></sup>", "a word[1]"),
        ("<sup>1</sup>5 euros", "1 5 euros"),
        ("the 1<sup>st</sup>, 2<sup>nd</sup>", "the 1st, 2nd"),
        ("XIX<sup>e</sup> M<sup>me</sup> Foo<sup>TM</sup> Bar<sup>®</sup>", "XIXe Mme FooTM Bar®"),
        ("2<sup>n</sup>", "2^n"),
        ("<sup>1</sup>/<sub>2</sub> cup", "1/2 cup"),
        ("2<sup>1</sup>/<sub>2</sub> cups", "2 1/2 cups"),
        ("H<sub>2</sub>O, CO<sub>2</sub>", "H2O, CO2"),
        ("SO<sub>4</sub><sup>2−</sup>", "SO4^(2−)"),
        ("log<sub>2</sub>8", "log2 8"),
        ("x<sub>i</sub>", "x_i"),
        ("5<sub>2</sub>", "5_2"),
        ("2<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>5", "2 1/2 5"),
        ("a <sup></sup>b", "a b"),
    ],
)
def test_html_raised_and_lowered_text_does_not_fuse_into_another_number(inline: str, expected: str) -> None:
    assert body(f"<p>{inline}</p>") == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            '<span class="katex"><span class="katex-mathml"><math><msup><mi>x</mi><mn>2</mn></msup></math></span>'
            '<span class="katex-html" aria-hidden="true">x2</span></span>',
            "x^2",
        ),
        (
            '<mjx-container><mjx-math aria-hidden="true">x2</mjx-math><mjx-assistive-mml><math><msup><mi>x</mi>'
            "<mn>2</mn></msup></math></mjx-assistive-mml></mjx-container>",
            "x^2",
        ),
        (
            '<span><span style="display: none;"><math><msup><mi>x</mi><mn>2</mn></msup></math></span>'
            '<img class="mwe-math-fallback-image-inline" aria-hidden="true" alt="{\\displaystyle x^{2}}"></span>',
            "x^2",
        ),
        ('a <img class="latex" src=x alt="x^2"> b', "a x^2 b"),
        ("a <math display=block><mi>x</mi></math> b", "a\n\nx\n\nb"),
    ],
)
def test_html_formula_is_read_once(page: str, expected: str) -> None:
    assert body(page) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<div><template shadowrootmode=open><p>shadow</p></template></div>", "shadow"),
        ("<my-card><template shadowrootmode=open><b>A</b> <slot></slot></template>light</my-card>", "A light"),
        (
            "<my-card><template shadowrootmode=closed><h2><slot name=t></slot></h2><slot>none</slot></template>"
            "<span slot=t>Title</span>text</my-card>",
            "## Title\n\ntext",
        ),
        ("<x-a><template shadowrootmode=open><slot name=t>fallback</slot></template></x-a>", "fallback"),
        ("<x-a><template shadowrootmode=open>only</template><p>not slotted</p></x-a>", "only"),
        (
            "<x-a><template shadowrootmode=open>[<slot></slot>]</template>"
            "<x-b><template shadowrootmode=open>(<slot></slot>)</template>in</x-b></x-a>",
            "[(in)]",
        ),
        (
            "<x-a><template shadowrootmode=open><x-b><template shadowrootmode=open>(<slot></slot>)</template>"
            "<slot></slot></x-b></template>in</x-a>",
            "(in)",
        ),
        ("<x-a><template>inert</template><p>x</x-a>", "x"),
        ("<ul><template shadowrootmode=open>no host</template><li>x</ul>", "- x"),
        (
            "<x-a><template shadowrootmode=open><table><tr><td>1<td>2<tr><td>3<td>4</table></template></x-a>",
            "| 1 | 2 |\n| --- | --- |\n| 3 | 4 |",
        ),
    ],
)
def test_html_declarative_shadow_tree_is_shown_in_its_hosts_place(page: str, expected: str) -> None:
    assert body(page) == expected


@pytest.mark.parametrize(
    ("inline", "expected"),
    [
        ("get\u200bElement\u200bById", "getElementById"),
        ("snake_\u200bcase", "snake_case"),
        ("<code>a.<wbr>b.<wbr>c</code>", "a.b.c"),
        ("super\u00adcali&shy;fragilistic", "supercalifragilistic"),
        ("a\u2060b&#xFEFF;c", "abc"),
        ("ab\u200ccd\u200d12\u200e34", "abcd1234"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔧", "👩\u200d🔧"),
        ("ภาษา\u200bไทย", "ภาษา\u200bไทย"),
        ("<pre>get\u200bName(\u00a0x)</pre>", "```\ngetName( x)\n```"),
        ("a&nbsp;b", "a b"),
        ("<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>", "漢(かん)字(じ)"),
        ("<ruby>自転車<rp>(</rp><rt>じてんしゃ</rt><rp>)</rp></ruby>", "自転車(じてんしゃ)"),
        ("he said <q>yes</q>", "he said “yes”"),
    ],
)
def test_html_signs_without_width_split_no_word(inline: str, expected: str) -> None:
    assert body(inline) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p hidden>a</p><p hidden=''>b</p>c", "c"),
        ("<p hidden=until-found>a</p>", "a"),
        ("<dialog>a</dialog><dialog open>b</dialog>", "b"),
        ("<div popover>a</div>b", "b"),
        ("<p style='visibility:hidden'>a</p>b", "b"),
        ("<details><summary>a</summary>b</details>", "a\n\nb"),
        ("<noframes>a</noframes><noembed>b</noembed><title>c</title>d", "d"),
        ("<input type=hidden value=a><input type=password value=b>c", "c"),
        ("<input type=submit value=Send> <input value='SN-48213'>", "Send SN-48213"),
        ("<input type=checkbox checked>yes <input type=checkbox>no", "☒ yes ☐ no"),
        ("<input type=radio checked>red <input type=radio>blue", "◉ red ○ blue"),
        ("<select><option>a<option selected>b</select>", "b"),
        ("<select multiple><option>a<option>b</select>", "a, b"),
        ("<select size=3><option>a<option label=B>b</select>", "a, B"),
        ("<textarea>two\nlines</textarea>", "two\nlines"),
        ("<div style='white-space: pre-line'>two\nlines</div>", "two\nlines"),
        ("<svg><defs><text>no</text></defs><text>one</text><text>two</text></svg>", "one two"),
        ("<svg><foreignObject><p>label</p></foreignObject></svg>", "label"),
        ("<svg><text><![CDATA[a < b]]></text></svg>", "a < b"),
        ("a <img alt=shown> <img src=x alt=hidden> b", "a shown b"),
        ("a<![CDATA[b]]>c", "ac"),
        ("<iframe srcdoc='&lt;p&gt;inner&lt;/p&gt;'>fallback</iframe>after", "inner\n\nafter"),
        ("&lt;b&gt; &eacute; &#x20AC; &nosuch; &copy 2024", "<b> é € &nosuch; © 2024"),
        ("<plaintext>a</p>\n  b", "```\na</p>\n  b\n```"),
    ],
)
def test_html_hidden_content_is_left_out_and_shown_content_is_read(page: str, expected: str) -> None:
    assert body(page) == expected


def test_html_frameset_without_text_is_named_as_what_it_is() -> None:
    with pytest.raises(CannotRead, match="frameset"):
        text_of("<html><frameset cols=50%><frame src=a.html><noframes>none</noframes></frameset></html>")


@pytest.mark.parametrize(
    ("declared", "written", "text"),
    [
        ("euc-kr", "utf-8", "café"),
        ("shift_jis", "utf-8", "© 2024"),
        ("gb2312", "utf-8", "보증 기간"),
        ("big5", "utf-8", "Größe"),
        ("windows-1251", "utf-8", "цена"),
        ("koi8-r", "utf-8", "цена"),
        ("euc-kr", "cp949", "보증 기간"),
        ("iso-2022-jp", "iso-2022-jp", "保証期間"),
        ("iso-2022-kr", "iso-2022-kr", "보증 기간"),
        ("koi8-r", "koi8-r", "цена"),
        ("big5", "big5", "保固期間"),
    ],
)
def test_html_valid_utf8_is_stronger_than_a_declaration(declared: str, written: str, text: str) -> None:
    page = f"<html><head><meta charset={declared}></head><body><p>{text}</p></body></html>"
    assert text_of(page.encode(written)) == text


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("<head><title/><script src='x'/><style/></head><body><p>a</p><p/><div/>b</body>", "a\n\nb"),
        ("<body><p>1 <![CDATA[< 2 & 3]]></p></body>", "1 < 2 & 3"),
        ("<body><a id='x'/><p>a<br/>b</p><textarea/>c</body>", "a\nb\n\nc"),
        ("<body>a <![CDATA[never closed</body>", "a"),
        (
            "<body><mml:math xmlns:mml='http://www.w3.org/1998/Math/MathML'><mml:mfrac><mml:mn>1</mml:mn>"
            "<mml:mn>2</mml:mn></mml:mfrac></mml:math></body>",
            "1/2",
        ),
    ],
)
def test_xhtml_loses_nothing_to_what_html_reads_differently(inner: str, expected: str) -> None:
    page = f'<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml">{inner}</html>'
    assert text_of(page) == expected


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_html_in_utf16_without_a_mark_is_recognised_although_a_syllable_has_a_nul(encoding: str) -> None:
    page = "<html><head><title>안내</title></head><body><p>가나다: 가격은 가게마다 다르다.</p></body></html>"
    assert text_of(page.encode(encoding)) == "가나다: 가격은 가게마다 다르다."


@pytest.mark.parametrize(
    "page",
    [
        "x<sup>1" * 5_000,
        "<ruby>a<rt>b" * 5_000,
        "<pre>\n\nx" * 5_000,
        "<select>" + "<option>x" * 5_000,
        "<svg><text>x" * 2_000,
        "<math>" + "<msup><mn>1</mn>" * 5_000,
        "<div><template shadowrootmode=open>x" * 500,
        "<ol reversed><li>x" * 1_000,
        "<div class=gutter>" * 2_000 + "x",
        "<iframe srcdoc='<p>x'></iframe>" * 200,
        "<table><tr><td>x" * 2_000,
    ],
)  # fmt: skip
def test_html_nested_without_end_is_read(page: str) -> None:
    assert "x" in body(page) or "b" in body(page) or "1" in body(page)


def test_html_parser_without_memory_is_no_error_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **options: object) -> None:
        raise SelectolaxError("Can't initialize CSS parser.")

    monkeypatch.setattr(html_reader, "code_listing_cells", fails)
    with pytest.raises(MemoryError):
        body("<table><tr><td>1</table>")
