"""People at the pages: they register, log in, stay in in every tab, and are out everywhere at once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pyotp
import pytest
import pytest_asyncio
from playwright.async_api import Request as PageRequest
from playwright.async_api import Route, ViewportSize, expect

from tests.browser.account_calls import AUTH, call, get, post, renew, token_of, tokens_seen
from tests.browser.conftest import RunningServer, Visit, Visitor, serve
from tests.browser.page_socket import PageSocket
from tests.venues.binance import BinanceVenue, generate_capture
from tests.venues.binance.trading import API_KEY, SECRET
from tradewright.commands.user import disable

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PASSWORD = "seven quiet lamps at noon"
PHONE = ViewportSize(width=390, height=844)
PUBLIC = ("/login", "/register", "/faq", "/support", "/about")
OWN = ("/profile", "/credentials", "/users")
IN = "document.documentElement.dataset.login === 'in'"
OUT = "document.documentElement.dataset.login === 'out'"
KEPT = """() => JSON.stringify([
  { ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML,
])"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def venue() -> AsyncIterator[BinanceVenue]:
    """The emulated Binance, which the server takes for the real one."""
    async with BinanceVenue(generate_capture(11, 200)) as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, venue: BinanceVenue) -> Iterator[RunningServer]:
    """A server whose administrator is anna; berta and cara are there as well."""
    settings = f'registration = "open"\n{venue.provider_toml()}'
    with serve(tmp_path_factory.mktemp("people"), settings) as running:
        for name in ("anna", "berta", "cara"):
            post(
                running, "register", {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
            )
        yield running


@asynccontextmanager
async def logged_in(
    server: RunningServer,
    visitor: Visitor,
    path: str = "/",
    *,
    name: str = "anna",
    expected: tuple[str, ...] = (),
) -> AsyncIterator[Visit]:
    """A page at which somebody is logged in, since the browser has the cookie of a login."""
    async with visitor.visit("about:blank", expected=expected) as visit:
        answer = await visit.page.context.request.post(
            f"{server.address}{AUTH}/login", data={"login": name, "password": PASSWORD}
        )
        assert answer.ok, await answer.text()
        await visit.page.goto(server.address + path)
        await visit.wait(IN)
        yield visit


async def test_the_first_one_registers_becomes_administrator_and_stays_in(
    tmp_path_factory: pytest.TempPathFactory, visitor: Visitor
) -> None:
    with serve(tmp_path_factory.mktemp("first"), "require_login = true\n") as fresh:
        expected = ("401", "422", "WebSocket")
        async with visitor.visit(f"{fresh.address}/", expected=expected) as visit:
            # This server shows nothing to those who are not logged in.
            await visit.page.wait_for_url(f"{fresh.address}/login")
            await visit.page.get_by_role("link", name="Make the first one").click()
            await visit.page.get_by_text("is its administrator").wait_for()
            assert not await visit.page.get_by_label("Set-up token").is_visible()
            await visit.page.get_by_label("User name").fill("anna")
            await visit.page.get_by_label("E-mail address").fill("anna@example.com")
            await visit.page.get_by_label("Password", exact=True).fill("annaannaanna")
            await visit.page.keyboard.press("Enter")
            field = visit.page.locator("[aria-invalid=true]")
            await field.wait_for()
            assert await field.evaluate("(one) => one === document.activeElement")
            assert await field.get_attribute("name") == "password"
            told = (await field.get_attribute("aria-describedby") or "").split()
            words = [await visit.page.locator(f"[id='{one}']").inner_text() for one in told]
            assert any(words), "what is wrong is said beside the field"
            await field.fill(PASSWORD)
            await visit.page.keyboard.press("Enter")
            await visit.page.wait_for_url(f"{fresh.address}/")
            await visit.page.reload()
            await visit.wait("document.querySelectorAll('#watch tbody tr[data-last]').length > 1")
            await visit.page.get_by_role("button", name="Account of anna").click()
            await visit.page.get_by_role("link", name="Users and audit").click()
            await visit.wait("main.dataset.shown === 'anna'")
            await expect(visit.page.locator("#audit tbody .code").last).to_have_text("user.first")


async def test_no_token_is_kept_where_a_script_could_read_it_later(
    server: RunningServer, visitor: Visitor
) -> None:
    async with visitor.visit("about:blank") as visit:
        tokens = await tokens_seen(visit.page)
        await visit.page.goto(f"{server.address}/login?next=/support")
        await _log_in(visit, "anna")
        await visit.wait("main.dataset.shown === 'Ready'")
        await visit.page.goto(f"{server.address}/profile")
        await visit.wait("main.dataset.shown === 'anna'")
        assert len(set(tokens)) >= 2, "each page that is opened begins with one of its own"
        kept = await visit.page.evaluate(KEPT)
        assert [token for token in tokens if token in kept] == []
        assert "eyJ" not in kept
        assert "tw_" not in await visit.page.evaluate("document.cookie")


async def test_two_tabs_share_one_renewal(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/faq") as visit:
        context = visit.page.context
        # Both are due at the same moment: after four fifths of ten minutes.
        await context.add_init_script("Math.random = () => 0.5;")
        await context.clock.install()  # one for both: what moves it moves them at the same moment
        pages = [visit.page, await context.new_page()]
        for page in pages:
            await page.goto(f"{server.address}/about")
            await page.wait_for_function(f"() => {IN}")
        renewals: list[str] = []
        both_due = asyncio.Event()

        async def hold(route: Route) -> None:
            renewals.append(route.request.url)
            await asyncio.wait_for(both_due.wait(), 10)
            await route.continue_()

        await context.route(f"**{AUTH}/refresh", hold)
        seen = [await tokens_seen(page) for page in pages]
        await context.clock.fast_forward(8 * 60_000 + 1_000)
        both_due.set()
        tokens = [await token_of(page, found) for page, found in zip(pages, seen, strict=True)]
        assert tokens[0] == tokens[1]
        assert len(renewals) == 1


async def test_a_token_that_is_refused_is_renewed_once_and_the_call_made_again(
    server: RunningServer, visitor: Visitor
) -> None:
    async with logged_in(server, visitor, "/support", expected=("401",)) as visit:
        asked: list[str] = []
        visit.page.on("request", lambda request: _note(asked, request, AUTH))

        async def spoil(route: Route) -> None:
            await route.continue_(headers={**route.request.headers, "authorization": "Bearer ended"})

        await visit.page.route(f"**{AUTH}/me", spoil, times=1)
        status = await call(visit.page, f"{AUTH}/me")
        assert status == 200
        assert [url.removeprefix(server.address + AUTH) for url in asked] == ["/me", "/refresh", "/me"]


async def test_a_logout_in_one_tab_is_one_in_all(server: RunningServer, visitor: Visitor) -> None:
    auth = f"{server.address}{AUTH}"
    async with logged_in(server, visitor, "/") as visit:
        second = await visit.page.context.new_page()
        await second.goto(f"{server.address}/profile#tokens")
        await second.locator("#main[data-shown=anna]").wait_for()
        await visit.page.get_by_role("button", name="Account of anna").click()
        await visit.page.get_by_role("button", name="Log out", exact=True).click()
        await visit.page.get_by_role("link", name="Log in", exact=True).wait_for()
        await second.wait_for_url(f"{server.address}/login?next=/profile%23tokens")
        await visit.page.reload()
        await visit.wait(OUT)
        async with asyncio.timeout(30):  # the server hears of it after the pages
            while "tw_refresh" in [one["name"] for one in await visit.page.context.cookies(auth)]:
                await visit.page.wait_for_timeout(50)


async def test_the_live_line_speaks_for_whoever_is_there(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/faq") as visit:
        lines: list[PageSocket] = []
        visit.page.on("websocket", lambda socket: lines.append(PageSocket(socket)))
        await visit.page.goto(f"{server.address}/")
        await visit.wait("document.querySelectorAll('#watch tbody tr[data-last]').length > 1")
        first = lines[0]
        assert first.socket.url == f"{server.address}/api/v1/ws".replace("http", "ws")
        await renew(visit.page)
        renewed = await first.sent("authenticate")
        assert (await first.answer(renewed["id"]))["type"] == "ok"
        assert first.refusals == [], "the token was taken with the first handshake already"
        await visit.page.get_by_role("button", name="Account of anna").click()
        async with visit.page.expect_websocket():
            await visit.page.get_by_role("button", name="Log out", exact=True).click()
        await first.closed()


async def test_a_login_leads_to_no_other_site(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/faq") as visit:
        for wanted in ("//evil.example/", "/..//evil.example", "https://evil.example/"):
            await visit.page.goto(f"{server.address}/login?next={wanted}")
            await visit.page.wait_for_url(f"{server.address}/")


async def test_it_says_what_is_wrong_and_when_to_try_again(server: RunningServer, visitor: Visitor) -> None:
    async with visitor.visit(f"{server.address}/login", expected=("401", "429")) as visit:
        await visit.page.keyboard.type("nobody")
        await visit.page.keyboard.press("Tab")
        await visit.page.keyboard.type("not the password")
        for _ in range(8):
            await visit.page.keyboard.press("Enter")
            await visit.wait("document.querySelector('form').ariaBusy === 'false'")
            if await visit.page.locator(".form-countdown").is_visible():
                break
            assert await visit.page.get_by_role("alert").is_visible()
        assert "Next try in" in await visit.page.locator(".form-countdown").inner_text()
        await visit.picture("login-throttled")


async def test_a_second_factor_is_set_up_and_then_wanted(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/profile", name="berta", expected=("401", "403")) as visit:
        section = visit.page.locator("#totp")
        await section.get_by_role("button", name="Set up").click()
        secret = (await section.locator(".enrol .code").inner_text()).replace(" ", "")
        await visit.wait(
            "((image) => image?.complete && image.naturalWidth > 50)(main.querySelector('#totp img'))"
        )
        await visit.picture("profile-enrol")
        code = pyotp.TOTP(secret)
        await section.get_by_label("Code that the app shows now").fill(code.now())
        await section.get_by_role("button", name="Confirm").click()
        await section.locator(".codes .code").nth(9).wait_for()
        recovery = await section.locator(".codes .code").all_inner_texts()
        assert len(recovery) == 10
        await section.get_by_role("button", name="I have kept it").click()
        await section.get_by_text("10 of your recovery codes are left").wait_for()
        await visit.page.get_by_role("button", name="Account of berta").click()
        await visit.page.get_by_role("button", name="Log out", exact=True).click()
        await visit.page.wait_for_url("**/login?next=/profile")
        await _log_in(visit, "berta")
        await visit.page.get_by_label("Code", exact=True).fill("000000")
        await visit.page.keyboard.press("Enter")
        await visit.page.get_by_text("The code is wrong").wait_for()
        await visit.page.get_by_label("Code", exact=True).fill(recovery[0])
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**/profile")
        await section.get_by_text("9 of your recovery codes are left").wait_for()
        await section.get_by_role("button", name="Remove").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await section.get_by_role("button", name="Set up").wait_for()


async def test_an_api_token_is_told_once_and_works(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/profile") as visit:
        section = visit.page.locator("#tokens")
        await section.get_by_label("What for").fill("my notebook")
        await section.get_by_role("button", name="Make token").click()
        token = await section.locator(".told .code").inner_text()
        assert get(server, "me", token)["user"]["username"] == "anna"
        await section.get_by_role("button", name="I have kept it").click()
        await section.get_by_role("row", name="my notebook").wait_for()
        assert token not in await visit.page.content()
        await section.get_by_role("button", name="Delete the token my notebook").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await section.get_by_text("There is none.").wait_for()


async def test_what_is_weighty_wants_the_password_anew(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/users", expected=("401", "403")) as visit:
        await visit.wait("main.dataset.shown === 'anna'")
        asked = 0

        async def refuse(route: Route) -> None:
            nonlocal asked
            asked += 1
            body = json.dumps({"code": "step_up_required", "detail": "Prove who you are."})
            await route.fulfill(status=403, content_type="application/problem+json", body=body)

        # Five minutes do not pass in a test: the server's first answer is what it would be then.
        await visit.page.route(f"**{AUTH}/invites", refuse, times=1)
        await visit.page.get_by_role("button", name="Invite", exact=True).click()
        dialog = visit.page.get_by_role("dialog")
        await dialog.get_by_label("Password", exact=True).fill("not the password")
        await visit.page.keyboard.press("Enter")
        await dialog.get_by_role("alert").wait_for()
        await dialog.get_by_label("Password", exact=True).fill(PASSWORD)
        await visit.page.keyboard.press("Enter")
        link = await visit.page.locator("#invites .told .code").inner_text()
        assert link.startswith(f"{server.address}/register#invite=")
        assert asked == 1


async def test_a_long_list_is_shown_page_by_page(server: RunningServer, visitor: Visitor) -> None:
    # One of the newest events is about her.
    post(server, "login", {"login": "cara", "password": PASSWORD, "client": "api"})
    async with logged_in(server, visitor, "/faq") as visit:
        asked: list[str] = []

        async def one_a_page(route: Route) -> None:
            asked.append(route.request.url)
            await route.continue_(url=f"{route.request.url}{'&' if '?' in route.request.url else '?'}limit=1")

        # Who has hundreds of users can't be in a test: the same pages of the same server are shorter here.
        await visit.page.route("**/api/v1/users?*", one_a_page)
        await visit.page.route("**/api/v1/users", one_a_page)
        await visit.page.goto(f"{server.address}/users")
        await visit.wait("main.dataset.shown === 'anna'")
        users, names = visit.page.locator("#users-body tbody tr"), "#users-body tbody th"
        more = visit.page.get_by_role("button", name="Show more users")
        for there in (1, 2):
            await expect(users).to_have_count(there)
            await expect(visit.page.locator("#users-note")).to_have_text(f"{there}+")
            await more.focus()
            await visit.page.keyboard.press("Enter")
            await expect(users.nth(there)).to_be_focused()
        await expect(more).to_have_count(0)
        await expect(visit.page.locator("#users-note")).to_have_text("3")
        shown = await visit.page.locator(names).all_inner_texts()
        assert sorted(text.split()[0] for text in shown) == ["anna", "berta", "cara"]
        assert len(set(asked)) == len(asked) == 3
        for name in ("anna", "cara"):
            await expect(
                visit.page.locator("#audit-body").get_by_text(name, exact=True).first
            ).to_be_visible()
        # One of the second page is as much there as one of the first.
        role = visit.page.get_by_label("Role of cara")
        async with visit.page.expect_response("**/api/v1/users/*") as told:
            await role.select_option("viewer")
        assert (await told.value).status == 200
        await expect(users).to_have_count(3)
        await expect(role).to_have_value("viewer")


async def test_a_page_that_comes_or_fails_leaves_people_where_they_are(
    server: RunningServer, visitor: Visitor
) -> None:
    post(server, "login", {"login": "cara", "password": PASSWORD, "client": "api"})
    async with logged_in(server, visitor, "/faq", expected=("400",)) as visit:
        refuses, arrives = False, asyncio.Event()
        arrives.set()

        async def one_a_page_if_any(route: Route) -> None:
            await asyncio.wait_for(arrives.wait(), 10)
            if refuses:
                body = json.dumps({"code": "invalid_value", "detail": "Not now."})
                await route.fulfill(status=400, content_type="application/problem+json", body=body)
                return
            await route.continue_(url=f"{route.request.url}{'&' if '?' in route.request.url else '?'}limit=1")

        await visit.page.route(re.compile(r"/api/v1/(users|audit)(\?|$)"), one_a_page_if_any)
        await visit.page.goto(f"{server.address}/users")
        await visit.wait("main.dataset.shown === 'anna'")
        users, events = (visit.page.locator(f"#{one}-body tbody tr") for one in ("users", "audit"))
        more_users, more_events = (
            visit.page.get_by_role("button", name=f"Show more {one}") for one in ("users", "events")
        )
        role = visit.page.get_by_label("Invite somebody as")
        failed = visit.page.locator("#audit-body .failure")
        await more_events.focus()
        await visit.page.keyboard.press("Enter")
        await expect(events.nth(1)).to_be_focused()
        # More names leave the row that somebody is at.
        await more_users.evaluate("(one) => one.click()")
        await expect(users).to_have_count(2)
        await expect(events.nth(1)).to_be_focused()
        # What fails is told below the list, and its button tries again, though it can be no passing trouble.
        refuses = True
        await more_events.focus()
        await visit.page.keyboard.press("Enter")
        await expect(failed).to_contain_text("Not now.")
        await expect(events).to_have_count(2)
        await expect(more_events).to_be_focused()
        async with visit.page.expect_response("**/api/v1/audit?*"):
            await visit.page.keyboard.press("Enter")
        refuses = False
        # Whoever has gone elsewhere is not called back, and what is told elsewhere stays.
        arrives.clear()
        await more_users.focus()
        await visit.page.keyboard.press("Enter")
        await role.focus()
        arrives.set()
        await expect(users).to_have_count(3)
        await expect(role).to_be_focused()
        await expect(failed).to_have_count(1)
        named = await events.locator("[data-user]").all_inner_texts()
        assert set(named) <= {"anna", "berta", "cara"}, "all of them are known by now"
        await more_events.focus()
        await visit.page.keyboard.press("Enter")
        await expect(events.nth(2)).to_be_focused()
        await expect(failed).to_have_count(0)
        # The command and the page promise the same.
        words = " ".join((disable.help or "").split()).partition(": ")[2]
        await visit.page.get_by_role("button", name="Shut out: berta").click()
        dialog = visit.page.get_by_role("dialog")
        await expect(dialog).to_contain_text(words, ignore_case=True)
        await dialog.get_by_role("button", name="Keep").click()


async def test_a_key_is_kept_tested_and_deleted(
    server: RunningServer, visitor: Visitor, venue: BinanceVenue
) -> None:
    async with logged_in(server, visitor, "/credentials", expected=("422",)) as visit:
        add = visit.page.locator("#add")
        await add.get_by_label("Provider", exact=True).select_option(label="Binance")
        await add.get_by_label("API key", exact=True).fill("no key has spaces")
        await add.get_by_label("Secret", exact=True).fill(SECRET)
        await visit.page.keyboard.press("Enter")
        wrong = add.locator("[aria-invalid=true]")
        await wrong.wait_for()
        assert await wrong.get_attribute("name") == "fields.api_key"
        await wrong.fill(API_KEY)
        await visit.page.keyboard.press("Enter")
        card = visit.page.get_by_role("article", name="Binance", exact=True)
        await card.get_by_text(f"…{API_KEY[-4:]}").wait_for()
        assert await add.get_by_label("Secret", exact=True).input_value() == ""
        assert SECRET not in await visit.page.content()
        venue.trading.rights["enableWithdrawals"] = True
        await card.get_by_role("button", name="Test").click()
        await card.get_by_text("This key can withdraw.").wait_for()
        await visit.picture("credentials-withdraws")
        await card.get_by_role("button", name="Use it all the same").click()
        assert await card.get_by_text("This must be confirmed.").is_visible()
        await card.get_by_role("checkbox").check()
        await card.get_by_role("button", name="Use it all the same").click()
        await card.get_by_role("alert").wait_for(state="detached")
        venue.trading.rights["enableWithdrawals"] = False
        await card.get_by_role("button", name="Test").click()
        await card.get_by_text("It can’t withdraw.").wait_for()
        await card.get_by_role("button", name="Edit").click()
        await card.get_by_label("Name", exact=True).fill("my spot account")
        await visit.page.keyboard.press("Enter")
        card = visit.page.get_by_role("article", name="my spot account")
        await card.get_by_role("button", name="Delete").click()
        await visit.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await visit.page.get_by_text("You have entered no key.").wait_for()


async def test_choices_follow_the_person_to_another_browser(server: RunningServer, visitor: Visitor) -> None:
    async with logged_in(server, visitor, "/profile", name="berta") as visit:
        form = visit.page.locator("#preferences")
        await form.get_by_label("Theme").select_option("light")
        await form.get_by_label("Time zone").select_option("utc")
        await form.get_by_label("Default market").select_option(label="Kraken · crypto")
        async with visit.page.expect_response("**/api/v1/user/preferences") as told:
            await form.get_by_role("button", name="Save").click()
        assert (await told.value).status == 200
    async with logged_in(server, visitor, "/faq", name="berta") as visit:
        await visit.wait("document.documentElement.dataset.theme === 'light'")
        stored = await visit.page.evaluate("JSON.parse(localStorage['tradewright.preferences'])")
        assert (stored["zone"], stored["home"]) == ("utc", {"market": "crypto", "provider": "kraken"})


async def test_every_page_loads_without_a_complaint(server: RunningServer, visitor: Visitor) -> None:
    async with visitor.visit("about:blank", viewport=PHONE, dark=False) as visit:
        for path in (*PUBLIC, "/"):
            await visit.page.goto(server.address + path)
            await visit.wait(OUT)
            await _fits(visit)
            await visit.picture(f"people{path.replace('/', '-')}-phone")
        await visit.page.goto(f"{server.address}/credentials")
        await visit.page.wait_for_url("**/login?next=/credentials")
    async with logged_in(server, visitor) as visit:
        for path in (*OWN, "/faq", "/support", "/about"):
            await visit.page.goto(server.address + path)
            await visit.wait(IN)
            if path in OWN:
                await visit.wait("main.dataset.shown !== undefined")
            links = await visit.page.eval_on_selector_all(
                "a[href^='/']", "(all) => all.map((one) => one.pathname)"
            )
            await visit.picture(f"people{path.replace('/', '-')}-dark")
            for target in sorted(set(links)):
                answer = await visit.page.context.request.get(server.address + target)
                assert answer.status == 200, f"{path} leads to {target}"


async def _fits(visit: Visit) -> None:
    assert await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def _log_in(visit: Visit, name: str) -> None:
    await visit.page.get_by_label("User name or e-mail address").fill(name)
    await visit.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await visit.page.keyboard.press("Enter")


def _note(seen: list[str], request: PageRequest, part: str) -> None:
    if part in request.url:
        seen.append(request.url)
