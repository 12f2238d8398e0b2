"""The style sheet of the page: two palettes, one column of text, charts that take its colours."""

STYLE = """
:root{
--paper:#fbfaf7;--card:#f3f1eb;--ink:#1c1e22;--soft:#5b616c;--line:#dedad1;
--model:#0b5fa5;--naive:#b34700;--drift:#6b6f78;--seasonal:#00704f;--base:#9b4780;
--other0:#846200;--other1:#7d3c25;--other2:#4a5a00;--other3:#5b4bb5;
--pass:#17713f;--fail:#b0261c;--unsure:#8a5b00;--on:#ffffff;
--serif:Charter,"Bitstream Charter","Iowan Old Style","Palatino Linotype",Palatino,Georgia,serif;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{
--paper:#141619;--card:#1d2024;--ink:#ebe8e1;--soft:#a3a9b3;--line:#31353b;
--model:#6fb7f2;--naive:#f2924a;--drift:#9a9fa9;--seasonal:#3fc79b;--base:#e0a1cc;
--other0:#e3c14d;--other1:#d69a80;--other2:#b7c860;--other3:#a99df0;
--pass:#63cf8f;--fail:#ff8b80;--unsure:#e8bb55;--on:#141619}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);
font-variant-numeric:tabular-nums}
main{max-width:1180px;margin:0 auto;padding:0 clamp(20px,5vw,56px) 96px}
h1,h2,h3{font-family:var(--serif);font-weight:600;text-wrap:balance;margin:0}
h1{font-size:clamp(1.85rem,1.1rem + 2.9vw,3.3rem);line-height:1.12;letter-spacing:-.015em;
max-width:24em}
h1.long{font-size:clamp(1.5rem,1.05rem + 1.9vw,2.4rem);line-height:1.2;max-width:29em}
h1 .but{font-style:normal;color:var(--fail)}
h2{font-size:1.5rem;line-height:1.2}
h3{font-size:1.1rem;margin:2.2rem 0 .3rem}
p{margin:.4rem 0}
a{color:var(--model)}
code{font-family:var(--mono);font-size:.86em}
.top{padding:clamp(40px,8vw,104px) 0 clamp(32px,5vw,64px)}
.over{color:var(--soft);margin:0 0 1rem;font-size:.95rem}
.verdict{display:flex;flex-wrap:wrap;gap:.6rem 1rem;align-items:baseline;margin:1.8rem 0 0;
max-width:56rem;font-size:1.06rem}
.verdict>span:last-child{flex:1 1 18rem}
.badge{display:inline-block;padding:.22rem .8rem .26rem;border-radius:999px;font-weight:650;
letter-spacing:.03em;color:var(--on)}
.badge.pass{background:var(--pass)}.badge.fail{background:var(--fail)}
.badge.unsure{background:var(--unsure)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1.6rem 2rem;
margin:clamp(32px,5vw,60px) 0 0}
.facts div{display:flex;flex-direction:column-reverse;justify-content:flex-end}
.facts dt{color:var(--soft);font-size:.9rem;line-height:1.35}
.facts dd{margin:0 0 .15rem;font:600 2rem/1.1 var(--serif);letter-spacing:-.01em}
.facts.small{margin-top:2rem;gap:1.2rem 2rem}
.facts.small dd{font-size:1.25rem}
.facts+.scroll{margin-top:2.4rem}
section{border-top:1px solid var(--line);padding:clamp(36px,5vw,64px) 0;display:grid;gap:1.6rem}
section>header p{color:var(--soft);font-size:.95rem;max-width:36rem;margin-top:.7rem}
.body{min-width:0}
.body>:first-child,.body>h3:first-child{margin-top:0}
@media (min-width:940px){section:not(.wide){grid-template-columns:250px minmax(0,1fr);gap:72px}}
.note{color:var(--soft);font-size:.92rem;max-width:44rem}
.tick{fill:var(--soft);font:12px var(--sans)}
.mid{text-anchor:middle}.last{text-anchor:end}.first{text-anchor:start}
.forest{margin:.5rem 0 0}
.forest .row{display:grid;grid-template-columns:10.6rem minmax(0,1fr) 20.6rem;gap:1rem;
align-items:center}
.forest .name{font-size:.92rem}
.track{display:block;width:100%;overflow:visible}
line.zero{stroke:var(--ink);stroke-width:1}
.interval{stroke-width:3;stroke-linecap:round;opacity:.45}
.point.good{fill:var(--model)}.interval.good{stroke:var(--model)}
.point.bad{fill:var(--naive)}.interval.bad{stroke:var(--naive)}
.point.open{fill:var(--soft)}.interval.open{stroke:var(--soft)}
.forest .value{display:grid;grid-template-columns:4.9rem 1fr auto;gap:.5rem;align-items:baseline;
font-size:.88rem;color:var(--soft);white-space:nowrap}
.forest .value b{color:var(--ink);font-size:1rem;text-align:right}
.forest .axis{align-items:start}
.forest .axis .value{display:block;white-space:normal;line-height:1.3;font-size:.82rem;
padding-left:.5rem}
.checks{list-style:none;margin:0;padding:0}
.checks li{display:grid;grid-template-columns:1.7rem minmax(0,1fr) minmax(0,1fr);gap:.2rem 1rem;
padding:.8rem 0;border-bottom:1px solid var(--line)}
.checks li:first-child{padding-top:0}
.checks p{margin:0;font-size:.92rem;color:var(--soft)}
.checks li>div:last-child p:first-child{color:var(--ink)}
.sign{font-weight:700;line-height:1.5}
.pass>.sign{color:var(--pass)}.fail>.sign{color:var(--fail)}.unsure>.sign{color:var(--unsure)}
figure{margin:0}
figure+figure,.forest+figure,figure+.scroll,.pair+figure{margin-top:2.2rem}
figcaption{font:600 1.05rem/1.35 var(--serif);margin-bottom:.5rem}
.chart{padding:26px 10px 44px 46px}
.labelled>.chart{padding-right:152px}
@media (min-width:721px){.labelled>.legend{display:none}}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:2rem}
.pair figure{margin:0}
.words{font:1.12rem/1.6 var(--serif);max-width:44rem;margin:0}
.meanings{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.25rem 1.2rem;margin:0;
font-size:.9rem;color:var(--soft)}
.meanings dt{color:var(--ink)}.meanings dd{margin:0}
.plot{display:block;width:100%;overflow:visible}
.plot>svg{overflow:hidden}
.grid{stroke:var(--line);stroke-width:1}
.model{--c:var(--model)}.naive{--c:var(--naive)}.drift{--c:var(--drift)}
.seasonal_naive{--c:var(--seasonal)}.base{--c:var(--base)}.plain{--c:var(--soft)}
.other0{--c:var(--other0)}.other1{--c:var(--other1)}.other2{--c:var(--other2)}
.other3{--c:var(--other3)}.lost{--c:var(--naive)}.before{--c:var(--other0)}
.line{fill:none;stroke:var(--c);stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.line.model{stroke-width:2.4}.line.truth{stroke:var(--ink);stroke-width:1.4}
.line.naive{stroke-dasharray:7 4}.line.drift{stroke-dasharray:2 4}
.line.seasonal_naive{stroke-dasharray:10 3 2 3}.line.base{stroke-dasharray:14 4}
.line.other0{stroke-dasharray:5 2}.line.other1{stroke-dasharray:1 3}
.line.other2{stroke-dasharray:9 2 1 2 1 2}.line.other3{stroke-dasharray:3 3 9 3}
.line.before{stroke-width:2.2;stroke-dasharray:2 4}
.note+.pair{margin-top:1.6rem}
.line.zero{stroke:var(--ink);stroke-width:1}
.end{fill:var(--c);font:12.5px var(--sans)}
.bar{fill:var(--c);fill-opacity:.72}
.small.dot{fill:var(--soft);stroke:none;fill-opacity:.75;r:2.6px}
.line.thin{stroke-width:1.2;stroke-dasharray:4 3}.line.dotted{stroke:var(--soft);stroke-width:5;
stroke-dasharray:0 8;stroke-linecap:round}
.line.faint{stroke:var(--drift);stroke-width:1;opacity:.45}
.line.ideal{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:4 4}
.line.bad{stroke:var(--fail);stroke-width:1.4}
.fault{stroke:var(--fail);stroke-width:1;opacity:.3}
.dot.bad{fill:var(--fail);stroke:none}
.why{color:var(--soft);font-size:.85rem;line-height:1.35;margin:.2rem 0 0;overflow-wrap:anywhere}
.rule{font:600 .95rem var(--mono);margin:0 0 .2rem}
.names tbody th{white-space:nowrap}
.values tbody th{min-width:15rem}.values td{overflow-wrap:anywhere}
.line.swatch{stroke-width:9;opacity:.3}
.band.model{fill:var(--model);fill-opacity:.13}
.dot{fill:var(--model);stroke:var(--paper);stroke-width:1.5}
.origin{stroke:var(--soft);stroke-width:1;opacity:.6}
.mark{stroke:var(--model);stroke-width:1;stroke-dasharray:2 3}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.4rem;margin:0 0 .7rem;padding:0;
font-size:.88rem;color:var(--soft)}
.legend li{display:flex;align-items:center;gap:.5rem}
.fans{display:grid;grid-template-columns:repeat(auto-fill,minmax(235px,1fr));gap:1.3rem 1.6rem}
.fans figure{margin:0}
.fans figcaption{display:flex;gap:.6rem;margin:0;font:400 .88rem/1.5 var(--sans)}
.fans .name{flex:1;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.fans b{flex:none}
.fans .chart{padding:8px 4px 26px 40px}
.fans .tag{flex:none}
.tag{color:var(--soft);border:1px solid var(--line);border-radius:4px;padding:0 .3rem;
font-size:.78rem}
.wide h3{margin:1.8rem 0 .7rem}
.scroll{overflow-x:auto;margin:0 0 1.6rem}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--model);outline-offset:3px}
table{border-collapse:collapse;width:100%;font-size:.92rem}
.narrow table{max-width:38rem}
caption{text-align:left;font:600 1.05rem var(--serif);padding-bottom:.4rem}
th,td{padding:.42rem 1.1rem .42rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}
th button{all:unset;cursor:pointer;color:inherit}
th button:hover{color:var(--ink)}
th button:focus-visible{outline:2px solid var(--model);outline-offset:2px}
th button::after{content:"\\2195";opacity:.45;padding-left:.25em}
[aria-sort=ascending] button::after{content:"\\2191";opacity:1}
[aria-sort=descending] button::after{content:"\\2193";opacity:1}
thead th{color:var(--soft);font-weight:500;font-size:.86rem;vertical-align:bottom}
tbody th{font-weight:500;overflow-wrap:anywhere;min-width:9rem}
.num{text-align:right}td.num{white-space:nowrap}
.dense{font-size:.84rem}.dense th,.dense td{padding-right:.62rem;white-space:nowrap}
.dense tbody th{min-width:0}
th:last-child,td:last-child{padding-right:.2rem}
details{border-bottom:1px solid var(--line)}
.forest+.scroll,.note+.scroll,details+.scroll,details+h3{margin-top:2.4rem}
.forest+details,.note+details,figure+details{margin-top:1.6rem;border-top:1px solid var(--line)}
.scroll+details{border-top:1px solid var(--line);margin-bottom:1.6rem}
summary{cursor:pointer;padding:.65rem 0;font-weight:500}
details[open]>summary{margin-bottom:.6rem}
svg.periods{display:block;width:100%}
rect.past{fill:var(--drift);opacity:.45}rect.between{fill:var(--seasonal);opacity:.75}
rect.after{fill:var(--model)}
ul.periods{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:.8rem 0 0;padding:0;
font-size:.92rem}
ul.periods span{color:var(--soft)}
ul.periods li::before{content:"";display:inline-block;width:.7rem;height:.7rem;border-radius:2px;
margin-right:.5rem}
li.past::before{background:var(--drift);opacity:.45}
li.between::before{background:var(--seasonal);opacity:.75}
li.after::before{background:var(--model)}
.hashes{margin:.6rem 0 0}
.hashes div{display:grid;grid-template-columns:11rem minmax(0,1fr);gap:.2rem 1rem;padding:.3rem 0}
.hashes dt{color:var(--soft);font-size:.92rem;overflow-wrap:anywhere}
.hashes dd{margin:0;overflow-wrap:anywhere;line-height:1.4}
pre{background:var(--card);padding:1.1rem 1.3rem;border-radius:8px;overflow-x:auto;line-height:1.65;
margin:0 0 1rem}
.prose{padding-left:1.1rem;margin:0 0 1rem;max-width:44rem}
.prose li{margin:.45rem 0}
@media (max-width:720px){
.labelled>.chart{padding-right:10px}
.end{display:none}
.forest .row{grid-template-columns:1fr auto;gap:0 1rem;padding:.35rem 0}
.forest .value{grid-column:2;grid-row:1;display:flex;justify-content:flex-end}
.forest .value span:nth-of-type(1){display:none}
.forest .track{grid-column:1/-1}
.forest .axis .name{display:none}
.forest .axis .value{grid-column:1/-1;grid-row:2;text-align:right}
.checks li{grid-template-columns:1.4rem minmax(0,1fr)}
.checks li>div:last-child{grid-column:2}
.hashes div{grid-template-columns:1fr}
.facts{grid-template-columns:1fr 1fr}
.facts dd{font-size:1.65rem}
pre{font-size:.86rem}}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
