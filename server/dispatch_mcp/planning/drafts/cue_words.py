"""The words by which people show how their work wants to be split, in six languages.

English, Vietnamese, Spanish, French, German and Portuguese.
A cue holds phrases between semicolons. A word that ends in `*` matches every word that begins so, `..` stands for up
to four words, and `(a|b)` for one of them. Phrases with accents also match without them when they are long enough
to mean nothing else.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Cue(NamedTuple):
    """A kind of sign in a request. `says` completes the sentence "It …"."""

    name: str
    says: str
    phrases: str = ""


WORDED: Final[tuple[Cue, ...]] = (
    Cue(
        "investigate",
        "asks to find something out",
        """
        investigat*; find out; finding out; figure out; figuring out; analy(se|ze|sing|zing|sis); diagnos*; root
        cause; root-cause; look into; dig into; examin*; research*; evaluat*; assess*; audit the; audit our;
        security audit; compare; profile; profiling; track down; get to the bottom; what's going on; what is going
        on; overview of; understand; identify; determine; explor*; survey; inspect; deep dive; look at; take a
        look; check whether; check if; review the; review our; find the cause; find the reason; find where; pin
        down; isolate; trace; tell me where; tell me what; tell me why; map out; gather; collect evidence; scan
        the; scan our; debug; triage; troubleshoot*; rule out; where does; where do; narrow down; bottleneck*;
        measure; get me; điều tra; phân tích; tìm nguyên nhân; tìm ra nguyên nhân; kiểm tra; khảo sát; tìm hiểu;
        đánh giá; rà soát; xác định; xem thử; xem xét; so sánh; nguyên nhân; chẩn đoán; tìm xem; averigua*;
        investiga*; analiza*; diagnostica*; descubr*; revisa*; compara*; examina*; evalúa*; analys*; enquête*;
        cherche*; trouve*; regarde*; examine*; évalue*; compare*; identifie*; diagnostiqu*; finde heraus;
        untersuch*; analysier*; prüfe*; ermittl*; vergleich*; überprüf*; schau*; descubra*; analise*; verifique*;
        avalie*; investigue*; check everything; look at every; find every; find all; where's the problem; please
        look; learn why; learn what; assessment; state of; utilisation; utilization; health check; can we find;
        who or what; pile up; work out; wanted: cause; which of our; what's behind; check for; find the; finde;
        reproduce; bisect; identify all; all the places; places where; depend on; interact; post mortem;
        postmortem
        """,
    ),
    Cue(
        "vague-fault",
        "describes trouble without a place",
        """
        slow*; sluggish; laggy; lag; lagging; latency; timeout*; timing out; times out; time out; hang; hangs;
        hanging; freez*; leak*; dropped; drops; dropping; lost; losing; loses; disappear*; vanish*; intermittent*;
        random*; at random; sporadic*; stale; late; delayed; outage; downtime; went down; goes down; spike*;
        spiking; degrad*; corrupt*; inconsistent; unstable; disconnect*; contradict*; oom*; out of memory; high
        cpu; high memory; went up; doubled; tripled; climbs; grows; unresponsive; unreachable; stuck; mismatch*;
        doesn't match; don't match; complain*; users say; customers (say|report); incident*; performance; bill;
        drop in; drops in; takes .. (seconds|minutes|hours|ages|forever|long); takes forever; deadlock*; awful;
        terrible; through the roof; bottleneck*; drain*; never arrive*; higher than; lower than; suspect*; flaky;
        unreliable; connection reset; eating; in production; peak hours; exposure; behaves; misbehav*; keeps ..
        (dying|failing|crashing|dropping|restarting|timing); keep .. (dying|failing|crashing);
        (some|many|several|half|most) ..
        (users|customers|clients|requests|webhooks|orders|payments|messages|calls); chậm; treo; mất dữ liệu; bị
        mất; rò rỉ; timeout; sự cố; gián đoạn; tăng đột biến; hiệu năng; bị trễ; quá tải; độ trễ; giờ cao điểm;
        không khớp; lúc được lúc không; chập chờn; bất thường; sập; lent*; caíd*; se cae; se pierde*; tarda*;
        panne*; au hasard; langsam*; ausfall; ausfäll*; antwortzeit*; hängt; brechen; zufällig; travando; caindo;
        demora*; instáve*; inestable*; rendimiento; desempenho; high error rates; error rates; a lot of; we get;
        problem; pile up; piles up; stalled; hammering; odd; strange; weird; unusable; loss; data loss; oversized;
        churn; rất lâu; phàn nàn; thất bại; lỗi liên tục; gần đây; p99; p95; so low; so high; so slow; too slow;
        too high; increased; decreased; got worse; worse
        """,
    ),
    Cue(
        "plain-fault",
        "describes a fault with a place",
        """
        crash*; fail; fails; failing; failed; failure*; error*; missing; wrong; incorrect*; broken; breaks; bug;
        bugs; issue; twice; duplicat*; (500|502|503|504|404|401)(s)?; not working; doesn't; don't; does not;
        shows; displays; returns; ignores; instead of; cuts off; cut off; clears; flickers; should be; problem;
        problems; keeps; counts; overlap*; when (you|i|users|the user|a user|the|it|we) ..
        (hover|click|open|press|upload|rotate|type|submit|switch|scroll|close); lỗi; sai; hỏng; không bấm được;
        không hoạt động; không chạy; bị vỡ; bị lỗi; trả về; falla*; fallo*; no hace; erreur*; échou*; plant*;
        fehler*; absturz; abstürz*; falha*; falhando; erro; erros; bug*; defeito
        """,
    ),
    Cue(
        "unknown-cause",
        "does not know the cause",
        """
        no idea; nobody knows; no one knows; no clue; don't know; do not know; not sure; unclear; unknown; any
        idea; why; what is causing; what's causing; what causes; what caused; what is wrong; what's wrong; could
        be; might be; may be the; whether it's; whether it is; what changed; what happened; where the time;
        somewhere; mysterious*; for no reason; out of nowhere; something is; can't tell; cannot tell; what's
        responsible; responsible for; what's behind; is it the; is it; was it; or is it; suddenly; since
        (last|yesterday|monday|tuesday|wednesday|thursday|friday|saturday|sunday|the|we|this); after the last;
        since .. (release|deploy|update|migration); tại sao; vì sao; chưa rõ; không rõ; không biết; do đâu; lý do;
        từ hôm qua; đột nhiên; bỗng; por qué; no sabemos; si es; debido a qué; pourquoi; on ne sait pas; aucune
        idée; warum; wieso; weshalb; keine ahnung; unklar; seit; por que; não sabemos; desde
        """,
    ),
    Cue(
        "fix",
        "asks for a repair",
        """
        fix; fixes; fixing; fixed; repair*; resolve; correct the; correct this; sort out; patch the; get rid of;
        make it work; stop it; sửa; khắc phục; xử lý lỗi; vá lỗi; corrig*; arregl*; répar*; beheb*; reparier*;
        corrij*; conserte; solucion*; résou*; fixe
        """,
    ),
    Cue(
        "build",
        "asks for something new",
        """
        add; adds; adding; implement*; build; building; create*; creating; write; writing; make; develop*;
        introduc*; generat*; set up; setup; design; designing; define; draft; stand up; bring; deliver; provision;
        train; put; give; code; scaffold; need a; need an; we need; we want; i need; i'd like; i would like;
        enabl*; ship; wire up; hook up; expose; establish; bootstrap; instrument; deploy; thêm; tạo; viết; xây
        dựng; xây; triển khai; làm; cài đặt; thiết kế; phát triển; sinh; tích hợp; bổ sung; dựng; añad*; agreg*;
        crea*; constru*; escrib*; diseñ*; desarroll*; integra*; ajout*; crée*; créer; écri*; implément*;
        construi*; développ*; met* en place; conçoi*; intègr*; erstell*; baue*; bau; füge; implementier*;
        schreib*; entwick*; entwirf; entwerf*; richte*; führe .. ein; adicion*; crie*; criar; escrev*; desenvolv*;
        projete*
        """,
    ),
    Cue(
        "change",
        "asks to change what is there",
        """
        refactor*; updat*; renam*; migrat*; replac*; convert*; upgrad*; switch; switching; port; porting; remov*;
        delet*; apply; applying; standardi*; move; moving; bump; translat*; swap; extract; rework; redesign*;
        rewrit*; clean up; increase; reduce; rebuild; adjust; adapt; modify; drop support; restyle; reformat;
        harmoni*; unify; deprecat*; optimi*; speed up; tune; change; changing; extend; enforce; pin; document;
        localize; localise; roll; align; cập nhật; đổi; thay; thay thế; nâng cấp; chuyển; tái cấu trúc; áp dụng;
        xóa; xoá; di chuyển; tối ưu; dịch; chuẩn hóa; chuẩn hoá; đổi tên; gỡ; loại bỏ; đồng bộ hóa; actualiz*;
        reemplaz*; migra*; cambi*; refactoriz*; renombr*; elimin*; optimiz*; traduc*; aplica*; convierte*; mets à
        jour; mettre à jour; remplac*; migre*; renomm*; supprim*; refactoris*; tradui*; optimis*; converti*;
        appliqu*; aktualisier*; ersetz*; migrier*; umbenenn*; benenne; entfern*; ändere; ändern; optimier*;
        übersetz*; wende; stelle .. um; atualiz*; substitu*; renomei*; otimiz*; mude; altere; traduz*; aplique*
        """,
    ),
    Cue(
        "act",
        "asks for work of its own",
        """
        pull; push; plot; fetch; cluster; transcribe; summari*; sort; drop; tidy; encrypt; decrypt; hook; wire;
        export; import; clean; load; parse; collect; derive; model; sketch; prepare; specify; surface; show;
        display; publish; protect; allow; let; handle; raise; lower; cache; validate; vacuum; scrape; crawl;
        label; annotate; evaluate; tune; fine-tune; patch; get; have; take; use; call; send; store; save; record;
        log; split; merge; combine; hide; disable; turn; wrap; encode; format; style; redo; produce; retrofit;
        adopt; follow; localize; localise; modernise; modernize; connect; map; mark; sync; schedule; automate;
        backfill; benchmark; reproduce; simulate; seed; reverse engineer; ship; hand; work out; feed; mirror;
        mock; review; verify; test; prove; check; announce; plan; outline; distil; distill; render; point;
        compute; calculate; aggregate; index; archive; purge; rotate; lock; unlock; restrict; secure; harden;
        containeri*; dockeri*; package; tag; release; roll back; revert; rebase; inject; decouple; break up; hang;
        lấy; gửi; lưu; ghi; nhập; xuất; thu thập; làm sạch; huấn luyện; cho phép; hiển thị; dùng; gọi; chạy; kiểm
        tra; mã hóa; tổng hợp; muestra; guarda; exporta; importa; limpia; affiche; enregistre; exporte; importe;
        nettoie; zeige; speicher*; exportier*; importier*; setze; gib; mach; mache; mostre; salve; limpe; faça
        """,
    ),
    Cue(
        "then",
        "puts one part after another",
        """
        then; after that; afterwards; after which; subsequently; next; followed by; finally; at the end; lastly;
        later; and only then; only then; once; as soon as; when ..
        (ready|done|finished|exists|written|complete|there|works); after .. (is|are|has|have|been); after
        (building|creating|writing|upgrading|designing|defining|adding|running|setting|migrating|training|collecting);
        when (it|they|that) (is|are|exists|works); rồi; sau đó; xong thì; sau khi; tiếp theo; cuối cùng; tiếp đó;
        kế đến; xong rồi; luego; después; una vez; a continuación; entonces; puis; ensuite; après; une fois;
        enfin; dann; danach; anschließend; sobald; nachdem; schließlich; depois; em seguida; assim que; então; uma
        vez; after; xong; later on; and from there; and on that; at which point; from there; thereafter;
        whereupon; daraufhin; más tarde; plus tard
        """,
    ),
    Cue(
        "first",
        "says what comes first",
        """
        first; firstly; before; begin with; start by; start with; starting with; up front; beforehand; prior to;
        initially; needs .. before; has to .. before; prerequisite; trước tiên; đầu tiên; trước; trước khi; trước
        đã; primero; antes de; d'abord; avant de; en premier; zuerst; zunächst; bevor; vorher; erst; primeiro
        """,
    ),
    Cue(
        "output-used",
        "uses what an earlier part gives",
        """
        from it; from them; from that; from this; from these; from those; from (its|their|the)
        (output|result*|spec|schema|data|findings|transcripts|json|report|answers); on top of (it|that|them|this);
        against it; against that; based on (it|that|this|those|these|what|the
        (result*|finding*|output|outcome|analysis|report|spec|schema|design)); use it; use them; uses it; using
        it; use its; uses that; using that; use that; using those; use those; with the
        (result*|finding*|output|outcome); with (its|these|those) (result*|finding*|output); its output; its
        result*; the output of; the result of; the results; the findings; whatever turns out; feed*; hand it; hand
        over; hands it; hand the; hand off; handed; pass it; pass them; pass the; pass on; so that .. can; so the
        .. can; so we can; according to (it|that|the spec); what it specifies; points at; point .. at; consume*;
        to call it; to query it; query it; call it; calls it; call the new; read from it; write to it; display it;
        show it; show them; display them; display the; that output; those numbers; the generated; the resulting;
        turn (it|them|that); import it; import them; store .. in; save .. (in|to); write .. to it; log ..
        (to|in|into); record .. in; persist .. (in|to|into); and show; and display; and expose; and store; and
        publish; and send; on it; into it; generate .. from; switch over to it; move .. (to it|onto it); deploy
        it; deploy the; dựa trên; từ đó; dùng bảng đó; dùng nó; theo kết quả; kết quả; để .. (ghi|dùng|gọi|đọc);
        từ đặc tả; vào đó; ghi .. vào; đưa .. vào; lưu .. vào; hiển thị; que la us*; que lo us*; a partir de;
        basándo*; sobre esa; en ella; con el resultado; à partir de; sur cette; qui l'utilise; basé sur; avec le
        résultat; darauf; daraus; damit; darin; auf basis; basierend; mit dem ergebnis; nela; nele; com base; com
        o resultado; que a use; que o use; following that; following it; should go into; go into; reacts to;
        afterwards; can consume; which calls; which uses; which calls it; that calls it; with it; by them; by it;
        that uses it; that accesses it; automate those; revert that; prepared by; produced by; derive; derived
        from; and regenerate; do both; both parts; the .. then; is approved; is written; is ready; from what; into
        a; so do it second; builds on; turn it into; with the data; with that data; from that data; from the data;
        log .. vào; (log|record|store|save|lưu|ghi) .. (vào|into|in) (mongodb|mongo|postgres|redis|mysql|kafka|a
        database|the database|a table)
        """,
    ),
    Cue(
        "same-way",
        "wants it done as somewhere else",
        """
        the same way; same way as; the way .. (does|do|is|are|did|handles|works|has|it); in the way; the same as;
        same approach; same style as; same pattern*; like .. (does|do|did|is done|are done|has|handles|already);
        like it's done; like it is done; as it's done; as it is done; as is done; do it like; done in; does it;
        did it; similar to; similarly to; analogous*; modelled on; modeled on; modelled after; modeled after;
        consistent with; in line with; following the; follow the; follow their; follow its; follow it; following
        their; borrow*; approach*; convention*; the pattern from; pattern from; pattern of; patterns from; pattern
        for; patterns used; patterns of; pattern used; how ..
        (does|handles|handle|do|did|is|are|works|has|parses|logs|solved|solves) .. (it|this|that); look at how;
        see how; know how .. (does|do); mirror*; copy the .. (idea|approach|way|pattern|logic|style); reuse the;
        re-use the; reusing the; use the pattern; use the approach; the idea from; port the idea; do the same;
        take .. as a (model|template|reference|example); as a (reference|template|blueprint|model); inspired by;
        just like; used in; used by; used for; already (has|have|does|do|uses|solved|solves|implements|handles);
        already a pattern; according to the; same naming; as .. does; as the .. (does|do|is|are); giống như; giống
        cách; theo cách; tham khảo; tương tự; theo mẫu; dùng lại; như cách; cách mà; học theo; theo chuẩn; theo
        quy ước; dựa theo; giống với; igual que; de la misma manera; de la misma forma; como lo hace; siguiendo;
        mismo patrón; basándose en cómo; de la même manière; de la même façon; comme le fait; comme dans; en
        suivant; suivant le modèle; s'inspir*; so wie; genauso wie; wie es; wie im; wie in; nach dem muster; nach
        dem vorbild; analog zu; ähnlich wie; da mesma forma; do mesmo jeito; como o .. faz; como a .. faz;
        seguindo; mesmo padrão; igual ao; known from; as a template; along the lines of; orient yourself; same
        kind of; same sort of; same (policy|strategy|logic|mechanism|format|gestures) as; from our shared; like
        on; like in; like the; like we; that the .. (has|have|uses|use); the .. we have in; how did; do it that
        way; that way; (strategy|conventions|definitions|style|technique|tricks) (of|from|known|used); what the ..
        (learned|does|do|use|uses|did); look how; as we do; as they do; the way (we|they|it|the); in the
        (style|spirit|manner|format) (of|that); takes its cue; based on how; likewise; imitat*; counterpart; does
        .. already; do .. already; did for; done for; solved in; get its patterns; guidelines (from|of);
        guidelines; like we've done; like we did; as we did; account for; the way it is; neat implementation; just
        as; do other; other modules; following the
        (pattern*|example|model|lead|style|conventions|approach|rules|standard|recommendation*); the approach
        (of|from|in|used); how other; uses already; we already (have|do|use); somewhere else; elsewhere; exists
        in; known in; theo cách của; như bên; của module; bắt chước; áp dụng cách
        """,
    ),
    Cue(
        "ask-expert",
        "wants somebody's knowledge first",
        """
        ask; asking; asks; consult*; advice; advise*; guidance; recommend*; input from; their input; check with;
        checking with; find out from; talk to; talking to; speak (to|with); tell you; tells you; opinion*;
        expert*; specialist*; know-how; knows how; knows about; who knows; who know; quick question; should say;
        what .. (recommends|recommend|suggests|advises|expects|expect); insight* from; pick .. brain; sanity
        check; help from; knowledge of; knowledge from; expertise; best practice* from; details from; tips from;
        confirm with; with help; run it by; verify with; under the guidance; hear from; the right way; team
        (knows|has|says|already); folks; guys; learn from; get the .. from; what's the right; what would be; hỏi;
        tư vấn; nhờ; ý kiến; chuyên gia; xin lời khuyên; kinh nghiệm; tham vấn; pregunta*; experto*; consejo*;
        asesor*; recomendac*; demande à; demander à; demandez; conseil*; avis; frag*; rat; berat*; experte*;
        empfehlung*; rücksprache; pergunt*; especialista*; conselho*; orientaç*; opinião;
        (team|people|folks|guys|devs|dbas|dba|sres|sre|experts|colleagues|accounting|finance|security|legal|ops|infra|design)
        .. (knows|know|has|have|can tell|can say|can
        explain|recommend*|prescribe*|learned|wants|want|expects|expect|solved|explain*); get ..
        (view|opinion|take|thoughts|pointers|details|advice); have a word; pointers; double-check with; check how;
        have .. explain; explain .. and then; opinions; view on; thoughts on; say on; tip; tips; with
        (input|advice|help|guidance|support|recommendations) (from|of|by); steward; champion; guru; mentor; chat
        with; short chat; opinion from; quick opinion; with the help of; should .. explain; quickly explain; need
        to know from; know from;
        (agent|engineer|scientist|accountant|architect|designer|specialist|expert|lawyer|analyst|lead|owner|admin|researcher|maintainer)s?
        .. (knows|know|explain|explains|tells|recommends); specialist's; expert's; architect's; team's
        (advice|opinion|recommendation*|view|knowledge|conventions|guidelines); knowledge about; from the ..
        (engineer|scientist|team|folks|people|specialist|expert|architect|guys|dba|agent); with the ..
        (engineer|scientist|team|folks|people|specialist|expert|architect|guys|dba|agent); take .. into account;
        which .. we should use; hỏi đội; đội .. đang dùng; reach out to; coordinate with; learn how; brief;
        expertise from; second opinion; get input (from|on); need .. input (from|on); expert input; should explain
        how; consulta con
        """,
    ),
    Cue(
        "each",
        "names every one of several places",
        """
        both; each; every; all of (the|our|them|its); all (the|our|its|their); all; everywhere; as well as; one by
        one; per; respective*; across (the|our|all|both|these|every|multiple|several); in each; several; multiple;
        various; remaining; everybody; cả hai; cả ba; cả bốn; cả; tất cả; từng; mỗi; mọi; các; lần lượt; ambos;
        ambas; todos; todas; cada; tous; toutes; chaque; les deux; les trois; alle; allen; aller; jede*; beide*;
        sämtliche*; sowohl; three; alike; respectively; and also; every one; throughout the; whichever
        """,
    ),
    Cue(
        "same-change",
        "is one change in many places",
        """
        the same; identical*; consistent*; consistency; standardi*; unif*; uniform*; align*; likewise; same new;
        same interface; shared (interface|contract|library); in parallel; simultaneously; at the same time;
        independently; side by side; cùng một; cùng; đồng thời; song song; giống nhau; thống nhất; mismo; mismos;
        misma; mismas; même; gleich*; einheitlich*; dasselbe; mesma; mesmo; en paralelo; en parallèle; parallel;
        em paralelo
        """,
    ),
    Cue(
        "everywhere",
        "reaches the whole system",
        """
        across the
        (system|platform|company|product|stack|board|codebase|application|app|organi*|whole|entire|site|estate);
        entire; whole; system-wide; systemwide; company-wide; platform-wide; org-wide; site-wide; app-wide;
        application-wide; product-wide; throughout; codebase; end to end; end-to-end; everywhere; everybody; the
        company; organi(s|z)ation-wide; across everything; every part; all parts; our
        (product|platform|system|stack|company); all internal; across all; the whole; full stack; full-stack;
        cross-platform; all layers; toàn bộ; toàn hệ thống; toàn công ty; khắp; xuyên suốt; cả hệ thống; tất cả
        sản phẩm; mọi nơi; en todo; en toda; todo el; toda la; en todos; dans tout; dans toute; dans l'ensemble;
        tout le; toute la; gesamte*; ganze*; komplett*; überall; durchgängig; em todo; em toda; todo o; toda a;
        inteir*
        """,
    ),
    Cue(
        "large-thing",
        "is about a large thing",
        """
        (build|create|develop|implement|design|make|need|want|launch|deliver|stand up|set
        up|introduce|add|construct|ship) ..
        (system|platform|marketplace|portal|suite|assistant|solution|engine|infrastructure|architecture|framework|feature|programme|program|capability|experience|store);
        (build|create|develop|launch|implement|want) (a|an|our|the) ..
        (app|application|site|website|shop|product|pipeline|chat|game|service|module); add .. (support|cart|chat)
        .. (to|for); a complete; comprehensive; complete; full; fully; from scratch; from the ground up;
        full-fledged; all-in-one; large; big; big one; major; massive; overhaul*; revamp*; re-architect*;
        rearchitect*; rewrite of; full rewrite; modernis*; moderniz*; redesign the; greenfield; epic; initiative;
        programme; foundation; hoàn chỉnh; đầy đủ; hệ thống; nền tảng; tính năng; từ đầu; quy mô lớn; ứng dụng; dự
        án; sistema; plataforma; completo; completa; desde cero; aplicación; système; plateforme; complet*; de
        zéro; plattform; komplett*; vollständig*; von grund auf; aplicativo; do zero; the whole thing; version 2;
        v2 of; saas; real-time collaboration; e-commerce store; stack for; into a ..
        (offering|platform|product|service|saas); keep asking for; dashboard with; so we can sell; enterprise*;
        toàn diện; system for; new .. system; hardening; second region
        """,
    ),
    Cue(
        "rollout",
        "is brought in by phases",
        """
        roll out; rolled out; rollout; rolling out; in phases; phase; phases; phased; step by step; step-by-step;
        gradual*; incremental*; staged; in stages; milestone*; without downtime; zero downtime; zero-downtime; go
        live; by q1; by q2; by q3; by q4; roadmap; cutover; cut over; transition to; transition from; adopt;
        adoption; phase 1; infrastructure first; (migrate|move|moving|switch|switching|transition) ..
        (company|infrastructure|monolith|stack|platform|everything|whole|entire|organisation|organization); from
        .. to .. without; and finished with; theo giai đoạn; từng bước; từng giai đoạn; giai đoạn; lộ trình; triển
        khai; ra mắt; chuyển .. sang; por fases; fases; paso a paso; despliegue; par phases; par étapes;
        déploiement; déploy*; phasenweise; schrittweise; einführ*; ausroll*; em fases; por etapas; implantaç*;
        starting with .. then; schema first; first, then; then every; at the end; migration path; to production;
        then validate; and validate; with .. tests at the end; bring up; turn our; turn the; sell to enterprises;
        launch (a|an|the|our)
        """,
    ),
    Cue(
        "new-ground",
        "brings in something that others build on",
        """
        introduc*; establish*; we are moving; we're moving; moving to; move all; migrate all; migrate every*;
        replace our; replac* .. throughout; central; centrali*; governance; switch off; company; departments;
        department; enforced; our systems; all (our|the)
        (systems|services|products|applications|teams|data|stores); in all
        (products|systems|applications|services); the
        (company|business|platform|organisation|organization|market); product line; new ..
        (model|architecture|platform|foundation|infrastructure|standard); every
        (host|store|part|team|department|app|product|system); and show that; and check that; and prove; and make
        sure; put it to use; until; policies; rules; standard for; mandatory; large refactoring; refactoring:;
        modernis*; moderniz*; consolidat*; unify all; sunset; decommission; phase out; parallel run; pilot; first
        .. then every; service after service; one service after; toàn công ty; tập trung; chuyển hạ tầng; đưa vào;
        áp dụng cho toàn; empresa; central*; entreprise; unternehmen; zentral*; führe .. ein; einführ*;
        arquitectura; architektur; arquitetura; in all products; in allen; all content types; how that it works
        """,
    ),
    Cue(
        "wide-subject",
        "is about users or the whole, not a part",
        """
        users; customers; clients; everything; everyone; the site; the app; the system; the application;
        production; prod; the website; requests; messages; orders; payments; data; the whole site; our
        (servers|site|app|systems|costs|aws|bill); the servers; deployments; the numbers; revenue; conversion; the
        platform; the pipeline; traffic; all platforms; hệ thống; ứng dụng; đơn hàng; người dùng; khách hàng; el
        sitio; la aplicación; l'application; le site; los pedidos; die anwendung; die seite; o site; o aplicativo;
        pagamentos; pedidos; mensajes; commandes; verbindungen; site; website; sign-ups; customer emails; our
        (customers|users|clients|emails|data|services); inventory; counts; churn; trang web
        """,
    ),
    Cue(
        "capability",
        "names a capability that touches every part",
        """
        multi-tenan*; multitenan*; tenancy; microservice*; monolith; gdpr; compliant; compliance; hipaa; soc 2;
        pci; single sign-on; single sign on; sso; internationali*; i18n; localization; localisation; event
        sourcing; event-driven; offline support; offline mode; offline-first; observability; disaster recovery;
        zero trust; zero-trust; plugin architecture; plugin system; feature flag*; audit log*; audit trail;
        real-time; realtime; encryption at rest; end-to-end encryption; permission model; permissions model;
        design system; rbac; role-based access; access control; notification*; subscription*; payment system;
        payments; shopping cart; e-commerce; ecommerce; booking; loyalty; distributed tracing; rate limiting;
        sharding; data platform; data warehouse; data lake; telemetry; grpc; graphql federation; soft delete*;
        versioning; dark mode; accessibility; search; recommendation* (engine|system); kubernetes; on-prem; cloud;
        multi-region; multi-currency; a/b testing; experimentation; user management; onboarding; đa ngôn ngữ; đa
        người thuê; thông báo; thanh toán; giỏ hàng; phân quyền; nhật ký; thương mại điện tử; đăng nhập một lần;
        notificacion*; reservas; journalisation; mandant*; notificaç*; multilingue; facturación; collaboration;
        saas; scim; oauth2; tracing library; graphql; logging and monitoring; monitoring; caching system-wide;
        data deletion; teams; invitations; giám sát
        """,
    ),
    Cue(
        "small",
        "is a small thing",
        """
        typo*; rename; bump; dead link; unit test; a test; tests for; flag; column; button; colour; color;
        tooltip; label; docstring*; log level; off-by-one; an index; one-line; one-liner; small; tiny; minor;
        quick; quickly; just; only; field; icon; link; readme; padding; margin; spacing; constant; comment;
        placeholder; the ..
        (page|button|form|function|method|query|table|list|dialog|modal|field|column|endpoint|widget|screen|menu|header|footer|script|test|component|template|job|file|class|variable|image|picker|toggle|dropdown|validation|message|config|setting|panel|tab|chart|export|parser|cli|command|regex|migration);
        please; can you; could you; the bug in; bug in; a bug; nút; cột; hàm; màu; nhỏ; form; giúp mình; giúp tôi;
        trang; file; lỗi chính tả; botón; función; formulario; página; pequeñ*; bouton; fonction; formulaire;
        petit*; page; knopf; funktion; formular; klein*; seite; botão; função; formulário; tela
        """,
    ),
    Cue(
        "verified-end",
        "ends with a check of the whole",
        """
        and verify; verify that; verify the; verification; and test; tests at the end; prove that; regression
        test*; and monitor*; with tests; dashboards; and docs; documentation; and reporting; reporting; analytics;
        runbooks; drills; evaluation; quality checks; and tests; load test*; e2e test*; monitoring; alerts;
        alerting; audit trail; kiểm thử; kiểm chứng; thống kê; báo cáo; giám sát; pruebas; verifica*; überwach*;
        testes; relatórios
        """,
    ),
    Cue(
        "facets",
        "lists what belongs to it",
        """
        with .. and; including; incl; consisting of; such as; covering; together with; along with; plus; which
        includes; it needs; should have; has to have; must have; must support; have to support; should support;
        needs to support; gồm; bao gồm; kèm theo; con .. y; incluyendo; incluido; avec .. et; y compris; mit ..
        und; inklusive; einschließlich; com .. e; incluindo
        """,
    ),
)
"""Cues that are words; `cues.py` adds those of structure."""
