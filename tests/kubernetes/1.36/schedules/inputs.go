package main

import "strings"

// Every corner of the grammar, and what other dialects of cron have.
var expressions = []string{
	"* * * * *",
	"*/5 * * * *",
	"  */5 *  * *\t*\n",
	"*\u00a0*\u2003*\u0085*\u000b*",
	"? ? ? ? ?",
	"0 0 * * ?",
	"5/15 * * * *",
	"59/1 * * * *",
	"0-59 0-23 1-31 1-12 0-6",
	"0 0 1 1 0",
	"* * * * 6",
	"* * * * sun-SAT",
	"* * * * Mon,Wed,FRI",
	"* * * jan-dec *",
	"* * * JAN,7,Dec *",
	"* * * feb/3 *",
	"*/1 * * * *",
	"*/60 * * * *",
	"*/9223372036854775807 * * * *",
	"*/+2 * * * *",
	"+5 * * * *",
	"007 * * * *",
	"5-5 * * * *",
	"10-20/4 * * * *",
	"1,2,3 * * * *",
	"1,,3 * * * *",
	",1, * * * *",
	", * * * *",
	"*,5 * * * *",
	"*-5 * * * *",
	"*-x * * * *",
	"*-1-2/3 * * * *",
	"?/2 * * * *",
	"@yearly",
	"@annually",
	"@monthly",
	"@weekly",
	"@daily",
	"@midnight",
	"@hourly",
	"",
	" ",
	"60 * * * *",
	"0-60 * * * *",
	"* 24 * * *",
	"* * 0 * *",
	"* * 32 * *",
	"* * * 0 *",
	"* * * 13 *",
	"* * * * 7",
	"* * * * 5-7",
	"* * * * 7/1",
	"* * * * sat-sun",
	"* * * * mo",
	"* * * * monday",
	"* * * january *",
	"jan * * * *",
	"* * * * jan",
	"* * * mon *",
	"* * * * */sun",
	"* * * *",
	"* * * * * *",
	"0 0 12 * * ?",
	"*",
	"*/0 * * * *",
	"*/9223372036854775808 * * * *",
	"*/-1 * * * *",
	"*/ * * * *",
	"*/a * * * *",
	"*/2/3 * * * *",
	"1-2-3 * * * *",
	"-5 * * * *",
	"5- * * * *",
	"5-1 * * * *",
	"10-20/0 * * * *",
	"1,60 * * * *",
	"** * * * *",
	"*5 * * * *",
	"1.5 * * * *",
	"0x5 * * * *",
	"1_0 * * * *",
	"\u0665 * * * *",
	"L * * * *",
	"* * L * *",
	"* * 15W * *",
	"* * * * 5#2",
	"* * * * 5L",
	"H * * * *",
	"* * * * * 2026",
	"@Daily",
	"@daily ",
	" @daily",
	"@reboot",
	"@",
	"@minutely",
	"@every",
	"@every 1h",
	"@every 5m30s",
	"@everyday",
	"TZ=UTC * * * * *",
	"CRON_TZ=Europe/Berlin 0 0 * * *",
	"TZ=UTC",
	"* * * * TZ",
	"TZ=UTC @daily",
	"tz=UTC * * * * *",
	"# * * * * *",
	"00 00 01 01 00",
	"0000000000000000000000000005 * * * *",
	"-0 * * * *",
	"* * -1 * *",
	"+0 +1 +1 +1 +1",
	"++5 * * * *",
	"5+ * * * *",
	"*/01 * * * *",
	"*/59 * * * *",
	"*/61 * * * *",
	"* */24 * * *",
	"* * */32 * *",
	"* * * */13 *",
	"* * * * */7",
	"* * * * */8",
	"0-59/15 * * * *",
	"0-59/60 * * * *",
	"0-0/5 * * * *",
	"58-59/9 * * * *",
	"*/18446744073709551615 * * * *",
	"*/18446744073709551616 * * * *",
	"*/4294967296 * * * *",
	"9223372036854775808 * * * *",
	"18446744073709551616 * * * *",
	"99999999999999999999-5 * * * *",
	"4294967296 * * * *",
	"256 * * * *",
	"64 * * * *",
	"*/-0 * * * *",
	"*/+0 * * * *",
	"*/00 * * * *",
	"*/ 5 * * * *",
	"*/1e1 * * * *",
	"1e1 * * * *",
	"0b1 * * * *",
	"0o7 * * * *",
	"5/0 * * * *",
	"5/ * * * *",
	"/5 * * * *",
	"/ * * * *",
	"- * * * *",
	"-- * * * *",
	"5--7 * * * *",
	"5-7- * * * *",
	"5-*  * * * *",
	"5-? * * * *",
	"*-* * * * *",
	"?-? * * * *",
	"*/5-7 * * * *",
	"5/2-3 * * * *",
	"5-10/2/2 * * * *",
	",,, * * * *",
	"*,* * * * *",
	"*,60 * * * *",
	"60,* * * * *",
	"5,,-  * * * *",
	"1, 2 * * * *",
	"1 ,2 * * * *",
	"* * * * SUN,MON",
	"* * * * sUn",
	"* * * * sunday",
	"* * * * tues",
	"* * * * mon-fri/2",
	"* * * * Mon/2",
	"* * * * fri-0",
	"* * * * 0-sat",
	"* * * * sat/1",
	"* * * sept *",
	"* * * j *",
	"* * * JANUARY *",
	"* * * jan/12 *",
	"* * * dec-jan *",
	"* * * 1-jun *",
	"* sun * * *",
	"* * mon * *",
	"* * * * fr\u0130",
	"* * * * \u017fun",
	"* * * * mo\u0146",
	"* * * * FR\u0131",
	"* * * oct\u212a *",
	"0 0 ? * 1",
	"0 0 1 * ?",
	"0 0 */2 * */2",
	"0 0 */1 * */1",
	"0 0 ?/2 * 1",
	"0 0 *,1 * 1",
	"0 0 1 * *,1",
	"0 0 1-31 * 1",
	"0 0 1 * 0-6",
	"0 0 31 * *",
	"0 0 29 2 *",
	"0 0 30 2 *",
	"0 0 31 2 1",
	"0 0 31 4,6,9,11 *",
	"0 0 31 4 ?",
	"0 0 30 2 0-6",
	"?? * * * *",
	"*? * * * *",
	"?* * * * *",
	"* * LW * *",
	"* * L-3 * *",
	"* * * * L",
	"* * * * mon#1",
	"* * * * 1#1",
	"* * C * *",
	"R * * * *",
	"H H * * *",
	"H/15 * * * *",
	"~ * * * *",
	"1~5 * * * *",
	"% * * * *",
	"0 0 * * * root",
	"0 0 0 1 1 * 2026",
	"* * * * *;",
	"!5 * * * *",
	"(1) * * * *",
	"[1] * * * *",
	"{1} * * * *",
	"1|2 * * * *",
	"1:30 * * * *",
	"1.0 * * * *",
	"1;2 * * * *",
	"\t* * * * *",
	"* * * * * ",
	"*\t*\t*\t*\t*",
	"*\r\n* * * *",
	"* * *\n* *",
	"*\u0085* * * *",
	"*\u1680* * * *",
	"*\u180e* * * *",
	"*\u200b* * * * *",
	"*\u2028*\u2029*\u202f*\u205f*",
	"*\u3000* * * *",
	"\ufeff* * * * *",
	"*\u001c* * * *",
	"*\u001f* * * *",
	"*\u0000 * * * *",
	"*\f*\v* * *",
	"\t",
	"\n",
	"\u00a0",
	"0\u00a00 * * *",
	"\uff15 * * * *",
	"\u00b2 * * * *",
	"\u2155 * * * *",
	"\uff0a * * * *",
	"*\u22155 * * * *",
	"1\u20135 * * * *",
	"\U0001f552 * * * *",
	"e\u0301 * * * *",
	"@YEARLY",
	"@Yearly",
	"@Monthly",
	"@weekly ",
	"\t@weekly",
	"@daily\n",
	"@noon",
	"@HOURLY",
	"@secondly",
	"@fortnightly",
	"@Reboot",
	"@every ",
	"@every 1s",
	"@every 0s",
	"@every -1h",
	"@every 1h30m",
	"@every 1d",
	"@every 1",
	"@every x",
	"@every\t1h",
	"@Every 1h",
	"@every  1h",
	"@every 90",
	"@everyhour",
	"@@daily",
	"@ daily",
	"@daily @daily",
	"@daily * * * *",
	"* * * * @daily",
	"@0 * * * *",
	"@yearly,@daily",
	"@\u00e9",
	"TZ=Local * * * * *",
	"TZ=Nowhere * * * * *",
	"TZ= * * * * *",
	"TZ",
	"TZ=",
	"CRON_TZ=",
	"CRON_TZ=UTC",
	"CRON_TZ=UTC @daily",
	"CRON_TZ=UTC 0 0 * * *",
	"tz=UTC 0 0 * * *",
	"cron_tz=UTC 0 0 * * *",
	" TZ=UTC 0 0 * * *",
	"TZ:UTC 0 0 * * *",
	"0 0 * * * TZ=UTC",
	"0 0 * TZ *",
	"0 0 * * TZ",
	"tZ=UTC * * * *",
	"ZT * * * *",
	"* * *",
	"* * * * * * *",
	"* * * * * *  ",
	"*****",
	"* * * * *#",
	"\"* * * * *\"",
	"'0 0 * * *'",
	"0,0,0 0,0 1,1 1,1 0,0",
	"null",
	"true",
	"0",
	"-",
	"every 5 minutes",
	"0 0 * * * && true",
	"$MIN * * * *",
	"\\u002a * * * *",
	strings.Repeat("1,", 100) + "1 * * * *",
	strings.Repeat(" ", 100) + "* * * * *",
}

// Names of zones, and what are none. No name is here that only some machines know, as posix/UTC.
var zoneNames = []string{
	"UTC",
	"Etc/UTC",
	"Zulu",
	"GMT+0",
	"GMT0",
	"Etc/GMT-14",
	"Etc/GMT+12",
	"EST",
	"EST5EDT",
	"CET",
	"US/Pacific",
	"Asia/Calcutta",
	"America/Port-au-Prince",
	"America/Argentina/ComodRivadavia",
	"America/North_Dakota/New_Salem",
	"Etc/GMT+13",
	"Factory",
	"",
	"Local",
	"LOCAL",
	"local",
	"lOcAl",
	"utc",
	"Utc",
	"etc/utc",
	"europe/berlin",
	"EUROPE/BERLIN",
	"Europe/berlin",
	"Europe/Paris ",
	" UTC",
	"UTC\n",
	"UTC\u0000",
	"/UTC",
	"UTC/",
	"Europe//Berlin",
	"../UTC",
	"./UTC",
	"Europe/../UTC",
	"Europe/./Berlin",
	"Europe",
	"Europe/",
	"America/Argentina",
	"Mars/Olympus",
	"Etc/Unknown",
	"Unknown",
	"UTC+1",
	"GMT+1",
	"UTC-00:00",
	"+01:00",
	"-01:00",
	"Z",
	"EST5EDT,M3.2.0,M11.1.0",
	"CET-1CEST,M3.5.0,M10.5.0/3",
	"Europe/Berlin/x",
	"Europe\\Berlin",
	"Europe/Berl\u00edn",
	"Europe/Berlin\u200b",
	"-Europe/Berlin",
	"Europe/-Berlin",
	"America/North_Dakota/New_Salemx",
	"AAAAAAAAAAAAAAA",
	"AAAAAAAAAAAAAA",
	"zoneinfo.zip",
	"TZ=UTC",
	"UTC UTC",
	"Berlin",
	"MEZ",
	"PST",
	"IST",
	"BST",
	"Europe/Kiev",
	"Europe/Kyiv",
	"US/Pacific-New",
	"Asia/Rangoon",
	"America/Coyhaique",
}

type watchedZone struct {
	name string
	// From the beginning of the one to that of the other.
	years [][2]int
}

// From now on, and where Go has only a rule left instead of a list.
var ahead = [][2]int{{2025, 2029}, {2037, 2039}}

// Zones whose clocks change in all ways there are, and some whose clocks do not.
var watchedZones = []watchedZone{
	{"UTC", ahead},
	{"Etc/GMT+12", ahead},
	{"Asia/Kathmandu", ahead},
	{"Asia/Kolkata", ahead},
	{"Europe/Berlin", ahead},
	{"Europe/Dublin", ahead},
	{"Europe/Chisinau", ahead},
	{"America/New_York", ahead},
	{"America/St_Johns", ahead},
	{"America/Havana", ahead},
	{"America/Nuuk", ahead},
	{"America/Vancouver", ahead},
	{"America/Santiago", ahead},
	{"America/Sao_Paulo", [][2]int{{2017, 2020}}},
	{"America/Caracas", [][2]int{{2007, 2017}}},
	{"Africa/Casablanca", ahead},
	{"Africa/Cairo", ahead},
	{"Antarctica/Troll", ahead},
	{"Asia/Beirut", ahead},
	{"Asia/Gaza", ahead},
	{"Asia/Pyongyang", [][2]int{{2015, 2019}}},
	{"Asia/Tehran", [][2]int{{2021, 2023}}},
	{"Australia/Lord_Howe", ahead},
	{"Pacific/Apia", [][2]int{{2010, 2011}, {2012, 2013}, {2020, 2022}}},
	{"Pacific/Chatham", ahead},
	{"Pacific/Easter", ahead},
	{"Pacific/Kiritimati", ahead},
}

// Expression, zone and from.
const byHand = `
* * * * * | UTC | 2026-01-01T00:00:00Z
* * * * * | UTC | 2026-01-01T00:00:59.999999999Z
*/5 * * * * | Etc/UTC | 2026-03-04T05:06:07Z
*/7 * * * * | UTC | 2026-03-04T05:50:00Z
5/15 * * * * | UTC | 2026-03-04T05:06:07Z
59/1 * * * * | UTC | 2026-03-04T05:06:07Z
10-20/4,50 * * * * | UTC | 2026-03-04T05:15:00Z
*-5 3 * * * | UTC | 2026-03-04T03:58:30Z
0 0 * * ? | UTC | 2026-12-31T23:59:59Z
0 0 ? * ? | UTC | 2026-12-31T23:59:59Z
0 20/2 * * * | UTC | 2026-03-04T05:06:07Z
30 6-16/4 * * 1-5 | UTC | 2026-03-06T11:00:00Z
0 9 * * MON-fri | UTC | 2026-03-06T10:00:00Z
0 9 * * Sun | UTC | 2026-03-06T10:00:00Z
0 9 * * 6/1 | UTC | 2026-03-06T10:00:00Z
0 9 * * 5/1 | UTC | 2026-03-06T10:00:00Z
0 0 1 * 1 | UTC | 2026-03-25T00:00:00Z
0 0 1,15 * 1-5/4 | UTC | 2026-03-25T00:00:00Z
0 0 */10 * 1 | UTC | 2026-03-20T00:00:00Z
0 0 */1 * 1 | UTC | 2026-03-20T00:00:00Z
0 0 1 * */2 | UTC | 2026-03-20T00:00:00Z
0 0 1 * */1 | UTC | 2026-03-20T00:00:00Z
0 0 1 * 0-6 | UTC | 2026-03-20T00:00:00Z
0 0 1 * *,3 | UTC | 2026-03-20T00:00:00Z
0 0 13 * 5,* | UTC | 2026-03-20T00:00:00Z
0 0 , * 5 | UTC | 2026-03-20T00:00:00Z
0 0 , * * | UTC | 2026-03-20T00:00:00Z
0 0 31 * * | UTC | 2026-01-31T00:00:00Z
0 0 30 * * | UTC | 2026-01-30T12:00:00Z
0 0 31 2 * | UTC | 2026-01-01T00:00:00Z
0 0 31 4,6,9,11 * | UTC | 2026-01-01T00:00:00Z
0 0 29 2 * | UTC | 2026-01-01T00:00:00Z
0 0 29 feb * | UTC | 2096-03-01T00:00:00Z
0 0 29 2 * | UTC | 2098-03-01T00:00:00Z
0 0 29 2 * | UTC | 2099-01-01T00:00:00Z
0 12 29 2 1 | UTC | 2026-01-01T00:00:00Z
59 23 31 DEC * | UTC | 2026-12-31T23:59:00Z
0 0 1 jan-mar/2,Jul * | UTC | 2026-01-01T00:00:00Z
0 0 1 11/1 * | UTC | 2026-02-01T00:00:00Z
, * * * * | UTC | 2026-01-01T00:00:00Z
* * * , * | UTC | 2026-01-01T00:00:00Z
@yearly | UTC | 2026-06-01T00:00:00Z
@annually | Asia/Kolkata | 2026-06-01T00:00:00Z
@monthly | Asia/Kolkata | 2026-06-01T00:00:00Z
@weekly | America/New_York | 2026-03-06T00:00:00Z
@daily | Europe/Berlin | 2026-03-28T12:00:00Z
@midnight | America/Sao_Paulo | 2018-11-02T12:00:00Z
@hourly | Australia/Lord_Howe | 2026-04-04T13:40:00Z
@hourly | Asia/Kolkata | 2026-04-04T13:40:00Z
0 0 * * * | UTC | 1969-12-31T23:59:58.500Z
0 0 * * * | UTC | 1960-02-28T12:00:00Z
30 2 * * * | America/New_York | 2026-03-07T00:00:00Z
0 2 * * * | America/New_York | 2026-03-07T12:00:00Z
0 3 * * * | America/New_York | 2026-03-07T12:00:00Z
*/30 * * * * | America/New_York | 2026-03-08T06:15:00Z
0 */2 * * * | America/New_York | 2026-03-08T05:00:00Z
30 1 * * * | America/New_York | 2026-10-31T12:00:00Z
0 1 * * * | America/New_York | 2026-10-31T12:00:00Z
30 1 1 11 * | America/New_York | 2026-01-01T00:00:00Z
0 0 * * * | America/New_York | 2026-10-31T12:00:00Z
15 2 8 3 * | America/New_York | 2026-01-01T00:00:00Z
30 2 * * * | Europe/Berlin | 2026-03-28T00:00:00Z
0 2-3 * * * | Europe/Berlin | 2026-03-28T12:00:00Z
30 2 * * * | Europe/Berlin | 2026-10-24T12:00:00Z
0 2 * * 0 | Europe/Berlin | 2026-10-24T12:00:00Z
*/20 2 * * * | Europe/Berlin | 2026-10-25T00:30:00Z
0 8 * * 1-5 | Europe/Berlin | 2026-10-23T12:00:00Z
45 1 * * * | Australia/Lord_Howe | 2026-04-04T00:00:00Z
15 2 * * * | Australia/Lord_Howe | 2026-10-03T00:00:00Z
45 2 * * * | Australia/Lord_Howe | 2026-10-03T00:00:00Z
0 2,3 * * * | Australia/Lord_Howe | 2026-10-03T12:00:00Z
30 1-2 * * * | Australia/Lord_Howe | 2026-04-04T12:00:00Z
0 5 * * * | Asia/Kolkata | 2026-05-05T00:00:00Z
30 5 31 * * | Asia/Kolkata | 2026-05-05T00:00:00Z
0 0 4 11 * | America/Sao_Paulo | 2018-01-01T00:00:00Z
0 0 * * * | America/Sao_Paulo | 2018-11-03T03:00:00Z
30 0 * * * | America/Sao_Paulo | 2018-11-02T12:00:00Z
0 12 * * 0 | America/Sao_Paulo | 2018-11-02T12:00:00Z
0 1 * * 0 | America/Sao_Paulo | 2018-11-02T12:00:00Z
0 23 * * * | America/Sao_Paulo | 2018-02-16T12:00:00Z
0 0 * * 0 | Asia/Beirut | 2022-03-20T00:00:00Z
0 0 * * * | Asia/Beirut | 2022-03-25T00:00:00Z
0 12 27 3 * | Asia/Beirut | 2022-01-01T00:00:00Z
0 0 * * 5 | Africa/Cairo | 2024-04-20T00:00:00Z
30 0 * * * | America/Havana | 2024-03-08T12:00:00Z
0 1 * * * | Antarctica/Troll | 2024-03-30T00:00:00Z
0 12 30 12 * | Pacific/Kiritimati | 2011-01-01T00:00:00Z
0 4 * * * | Asia/Kathmandu | 2026-05-05T00:00:00Z
0 0 30 * * | Pacific/Apia | 2011-12-28T12:00:00Z
0 0 30 12 * | Pacific/Apia | 2011-01-01T00:00:00Z
0 0 * * * | Pacific/Apia | 2011-12-28T12:00:00Z
0 * * * * | Pacific/Apia | 2011-12-30T08:30:00Z
0 12 * * 5 | Pacific/Apia | 2011-12-25T00:00:00Z
0 0 29 2 * | Europe/Berlin | 2095-01-01T00:00:00Z
30 2 * * * | Europe/Berlin | 2126-03-28T00:00:00Z
30 2 * * * | Europe/Berlin | 2126-10-25T00:00:00Z
30 1 * * * | America/New_York | 2126-11-01T00:00:00Z
30 2 * * 0 | America/New_York | 2126-03-01T00:00:00Z
45 1 * * * | Australia/Lord_Howe | 2126-04-05T00:00:00Z
15 2 * * * | Australia/Lord_Howe | 2126-10-04T00:00:00Z
0 1 * * * | Antarctica/Troll | 2126-03-30T00:00:00Z
0 0 1 1 * | Asia/Kathmandu | 1985-06-01T00:00:00Z
@hourly | Asia/Kathmandu | 1985-12-31T17:45:00Z
@daily | Etc/GMT+12 | 2126-12-30T13:00:00Z
* * * * * | UTC | 9998-12-31T23:58:00Z
@yearly | Europe/Berlin | 9990-06-01T00:00:00Z
@daily | Europe/Berlin | 1900-01-01T00:00:00Z
*/7 * * * * | Africa/Monrovia | 1972-01-06T23:30:00Z
@hourly | Africa/Monrovia | 1971-01-01T00:00:00Z
@daily | Africa/Monrovia | 1971-12-30T00:00:00Z
*/10 * * * * | Asia/Kolkata | 1905-12-31T18:00:00Z
@hourly | America/St_Johns | 2010-03-14T02:00:00Z
0 0 * * * | America/St_Johns | 2010-11-06T02:00:00Z
1 0 * * * | America/St_Johns | 2010-11-06T02:00:00Z
30 23 * * * | America/St_Johns | 2010-11-06T02:00:00Z
`
