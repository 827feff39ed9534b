"""Signs in the tests of a change, or in what they are held to."""

from __future__ import annotations

from typing import Final

from dispatch_mcp.review import signs
from dispatch_mcp.review.signs import Sign, sign

TEST_SIGNS: Final[tuple[Sign, ...]] = (
    sign(
        "test-skipped",
        "tests",
        9,
        "a test is skipped, or only some are run",
        "skip xfail xit xdescribe ignore disabled only todo fit fdescribe skipif skiptest pending skipunless explicit "
        "xtest notest should_panic xcontext",
        regex=r"mark\.(?:skip|xfail)|pytest\.skip\(|@(?:unittest\.)?skip|\b(?:it|test|describe|context|suite)\."
        r"(?:skip|only|todo)\b|\bx(?:it|describe|test|context)\b\s*\(?|@ignore\b|"
        r"@disabled\b|\bt\.skip\w*\(|#\[ignore|\bf(?:it|describe|context)\s*\(|\[ignore|skip\s*=\s*[\"']"
        r"|\[explicit\]|marktestskipped|marktestincomplete|\bpending\b|raise (?:unittest\.)?skiptest|skip:\s*true",
        places=signs.TESTS,
    ),
    sign(
        "proves-nothing",
        "tests",
        9,
        "an assertion that cannot fail",
        "assert expect true asserttrue assertnotnull tobetruthy tobedefined is_not_none pass except assertion"
        " toequal not_nil "
        "tobe nothrow doesnotthrow isinstance nil equal success assert_true notnull mockcalled nothing"
        " smoke isnotnull tobeinstanceof haslength status toexist catch try isok",
        regex=r"assertnotnull|toexist\(|is_?not_?null|not_to be_nil|to be_present|assert\s+\w+\s*(?:#.*)?$"
        r"|expect\(\w+\)"
        r"\.toBeInstanceOf|assert\s+isinstance\(|assert\s+(?:response|result|resp)\b\s*$|catch\s*(?:\([^)]*\))?\s*"
        r"\{\s*\}|\|\|\s*true|assert\s+true\b|assert\s+1\b|asserttrue\(\s*true|expect\(\s*true\s*\)\.tobe"
        r"|expect\((\w+)\)\.to"
        r"(?:be|equal)\(\s*\1\s*\)|assert\s+(\w+)\s*==\s*\2\s*$|assertequals?\((\w+),\s*\3\)|"
        r"assert\s+\w+(?:\.\w+)?\s+is\s+not\s+none\s*$|tobetruthy\(\)|tobedefined\(\)|assertnotnull\(|assertisnotn"
        r"one\(|not\.tothrow\(|assertdoesnotthrow|assert!\(\s*true|except\w*.*:\s*pass\s*$|"
        r"or\s+true\b|assert_true\(\s*true|assert\.(?:ok|notnil|notnull)\(|expect\(.*\)\.not\.tobenull\(\)"
        r"|be_truthy|assert\s+\w+\s*$|\.tohavebeencalled\(\)|assert_called\(\)|assert\s+len\(\w+\)\s*>=\s*0",
        places=signs.TESTS,
    ),
    sign(
        "test-by-chance",
        "tests",
        9,
        "a test depends on time, chance or the network",
        "sleep now random requests today uuid setTimeout settimeout thread date time rand urlopen utcnow"
        " fetch waitfortimeout "
        "wait getenv axios localhost retry flaky rerun retries delay currenttimemillis clock eventually http",
        regex=r"time\.sleep\(|thread\.sleep\(|\bsleep\(?\s*\d|datetime\.(?:now|today|utcnow)\(|date\.(?:today"
        r"|now)\(|new date\(\s*\)|random\.\w+\(|math\.random\(|requests\.(?:get|post)\(\s*[\"']http|urlopen\("
        r"|"
        r"fetch\(\s*[\"']http|waitfortimeout\(|cy\.wait\(\d|settimeout\(|time\.now\(|\brand\.\w+\(|\.retries\("
        r"|@?flaky|rerun|retry\s*[=:(]|localdate\w*\.now|currenttimemillis|await\s+(?:delay|sleep)|time\.after\("
        r"|task\.delay\(|instant::now",
        places=signs.TESTS,
        unless=r"freeze|seed|mock|fake|monkeypatch|patch\(",
    ),
    sign(
        "bar-lowered",
        "tests",
        8,
        "the bar for tests is lowered",
        "fail_under coveragethreshold cov-fail-under threshold coverage minimum branches lines continue-on-error"
        " omit || "
        "testpathignorepatterns exclude failfast no-verify deselect allow_failure statements functions"
        " minimum_coverage "
        "jacoco skiptests passwithnotests maxfail reruns maven.test.skip exclude_lines pragma nocov istanbul"
        " addopts ignore no",
        regex=r"fail_under|cov-fail-under|coveragethreshold|minimum_coverage|continue-on-error:\s*true|allow_failure:\s*"
        r"true|testpathignorepatterns|skiptests|maven\.test\.skip|--passwithnotests|"
        r"(?:pytest|npm (?:run )?test|jest|go test|cargo test|rspec|mvn|gradle|phpunit|vitest|make test).*\|\|\s*"
        r"(?:true|exit 0|:)|--deselect|--ignore=|-k\s+[\"']not|pragma:\s*no ?cover|istanbul ignore|# nocov"
        r"|"
        r"\b(?:branches|lines|functions|statements)[\"']?\s*:\s*\d+|--reruns|-Dskip|minimum\s*=\s*0?\.\d"
        r"|<minimum>|coverageexclusions|exclude_lines|omit\s*=",
        places=signs.ALL,
    ),
    sign(
        "mocks-the-inside",
        "tests",
        7,
        "the unit itself is mocked or its inside is tested",
        "patch mock magicmock spyon mockimplementation stub monkeypatch mockreturnvalue assert_called_once_with"
        " verify when "
        "assert_called_with jest vi sinon mockito allow receive tohavebeencalledwith toequal mockbean"
        " gomock any autospec mocked",
        regex=r"patch(?:\.object)?\([^)]*[._\"']_\w+|mock\.patch|magicmock\(|\bspyon\(|jest\.mock\(|vi\.mock\("
        r"|sinon\.stub|mockito|when\(.*\)\.thenreturn|assert_called|tohavebeencalled|allow\(.*\)\.to receive"
        r"|"
        r"@patch|mocker\.patch|monkeypatch\.setattr|mockreturnvalue|mockimplementation|mockbean|gomock"
        r"|allow_any_instance_of|\(\w+ as any\)\._?\w+|\._[a-z]\w+\(",
        places=signs.TESTS,
    ),
    sign(
        "tolerance-loosened",
        "tests",
        7,
        "what a test accepts became wider, or a snapshot was taken anew",
        "approx delta tobecloseto places rel abs tolerance almostequal tomatchsnapshot snapshot epsilon"
        " assertalmostequal "
        "allclose atol rtol any within closeto anything objectcontaining inrange timeout",
        regex=r"approx\(|delta\s*=|tobecloseto\(|assertalmostequal|tolerance|allclose|\b(?:atol|rtol)\s*=|tomatch"
        r"(?:inline)?snapshot|within\(|closeto|expect\.anything|inrange\(|indelta|expect\.any\(|mock\.any\b"
        r"|mock\.anything",
        places=signs.TESTS,
    ),
    sign(
        "tests-changed",
        "tests",
        3,
        "tests are part of the change",
        "test assert expect describe it should assertequal fixture given scenario tests beforeeach parametrize"
        " mocha func",
        regex=r"\bdef test|\bit\(|\btest\(|\bassert|\bexpect\(|@test|func test|#\[test\]|\.should|fixture|parametrize"
        r"|\[fact\]|before(?:each|all)?\(",
        places=signs.TESTS,
    ),
)
