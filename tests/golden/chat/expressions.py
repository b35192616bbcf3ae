"""Small templates for make_renders.py: (variables, sources)."""

MESSAGES = [
    {"role": "system", "content": "Sys"},
    {"role": "user", "content": "Häll😀 wörld", "n": 3},
    {"role": "assistant", "content": " pad ", "n": 1, "tool_calls": []},
]

LITERALS = [
    "{{ 1 }} {{ -1 }} {{ 1.0 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }} {{ 123456789.125 }} {{ 0.1 + 0.2 }}",
    "{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1e22 }} {{ 1e15 }} {{ 100000.0 }} {{ 0.0001 }} {{ 0.00001 }}",
    "{{ true }} {{ True }} {{ false }} {{ none }} {{ None }}",
    "{{ 'a' \"b\" 'c' }} {{ 'it\\'s' }} {{ \"q\\\"\" }} {{ 'tab\\there' }} {{ 'nl\\nx' }} {{ '\\u00e9\\x41\\101' }} {{ 'a\\qb' }}",
    "{{ [] }} {{ [1, 'a', none, true, 2.0] }} {{ () }} {{ (1,) }} {{ (1, 2) }} {{ {} }} {{ {'a': 1, 'b': [1, {'c': none}]} }}",
    "{{ 1, 2 }}", "{{ [1,2,] }} {{ {'a':1,} }} {{ (1,2,) }}",
    "{{ ['it\\'s', 'q\"', 'b\\\\', 'n\\n', 'é', '\\x00', '\\u200b', '\\U0001f600', 'both\\'\"'] }}",
    "{{ {1: 'a', none: 2, true: 3, 2.5: 4, (1,2): 5} }}", "{{ {'a': 1, 'a': 2} }}",
    "{{ '' }}|{{ undefined_name }}|{{ [undefined_name] }}|{{ none }}",
    "{{ 'a\\\nb' }}", "{{ .5 }}", "{{ 1.. }}",
    "{{ inf }} {{ 1e400 }} {{ -1e400 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}",
]

ARITHMETIC = [
    "{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 2 }}",
    "{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 2.0 ** 3 }}",
    "{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 1 + 1.0 }} {{ true + 1 }} {{ 1 - true }}",
    "{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ 'x' * -1 }}| {{ [1] + [2] }} {{ [1, 2] * 2 }} {{ (1,) + (2,) }}",
    "{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] }} {{ 1 ~ 2 }} {{ undefined_name ~ 'x' }}",
    "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ none + 1 }}", "{{ [1] + (2,) }}",
    "{{ undefined_name + 1 }}", "{{ 1 + undefined_name }}", "{{ 'a' - 'b' }}", "{{ -'a' }}", "{{ -undefined_name }}",
    "{{ 'a' + none }}", "{{ {} + {} }}", "{{ 'a' * 1.5 }}", "{{ +3 }} {{ - 3 }} {{ --3 }}", "{{ -5|abs }} {{ -5.5|abs }} {{ true|abs }}",
    "{{ 1+1 }}{{ 1 +1 }}{{ 1-1 }}", "{{ 10 - 2 - 3 }} {{ 100 / 10 / 2 }} {{ 2 * 3 % 4 }}", "{{ 1 ~ 2 + 3 }} {{ 1 + 2 ~ 3 }} {{ 2 * 3 ~ 4 }}",
    "{{ 'n=%d s=%s f=%.2f p=%%' % (3, 'x', 1.005) }} {{ '%s' % 'one' }} {{ '%5d|%-5d|%05d|%+d' % (42, 42, 42, 42) }}",
    "{{ '%(a)s-%(b)d' % {'a': 'x', 'b': 2} }} {{ '%r' % ('q',) }} {{ '%x %X %o' % (255, 255, 8) }} {{ '%e %g' % (12345.678, 0.00001) }}",
    "{{ '%d' % 'x' }}", "{{ '%s %s' % ('a',) }}", "{{ 'a' % 1 }}", "{{ '%d' % 3.9 }} {{ '%s' % none }} {{ '%10s|%-10s|%.2s' % ('abc', 'abc', 'abc') }}",
]

COMPARE = [
    "{{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }} {{ none == none }} {{ none == false }} {{ [1] == [1.0] }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }}",
    "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ [1, 2] < [1, 3] }} {{ 'é' > 'z' }}",
    "{{ 1 in [1, 2] }} {{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ 'k' in {'k': 1} }} {{ 2 in range(3) }} {{ 5 in range(0, 10, 2) }} {{ '' in 'a' }}",
    "{{ none in [none] }} {{ 1 in undefined_name }} {{ undefined_name in [1] }} {{ undefined_name == undefined_name2 }} {{ undefined_name == none }}",
    "{{ 1 in 'a' }}", "{{ none in 'a' }}", "{{ 'a' in none }}", "{{ 1 < 'a' }}", "{{ none < 1 }}", "{{ undefined_name < 1 }}", "{{ undefined_name in 'abc' }}",
    "{{ not 1 }} {{ not '' }} {{ not [] }} {{ not {} }} {{ not none }} {{ not 0.0 }} {{ not undefined_name }} {{ not range(0) }}",
    "{{ 1 and 2 }} {{ 0 and 2 }} {{ 0 or 'x' }} {{ '' or none }} {{ 1 or 2 and 0 }} {{ not 1 == 2 }} {{ not true and false }}",
    "{{ 'a' if true else 'b' }} {{ 'a' if false }}| {{ 'a' if 0 else 'b' if 1 else 'c' }} {{ ('x' if true) ~ 'y' }}",
    "{{ 1 == 1 == true }} {{ 1 != 2 }} {{ not 'a' in 'abc' }} {{ 1 in [1] and 2 in [2] }}", "{{ [] in {} }}", "{{ {} in [{}] }}",
]

TESTS = [
    "{{ x is defined }} {{ 1 is defined }} {{ x is undefined }} {{ x is not defined }} {{ none is none }} {{ none is not none }}",
    "{% for v in [1, 1.5, 'a', true, none, [1], (1,), {'a': 1}, range(2), undefined_name] %}{{ v is string }}{{ v is number }}{{ v is integer }}{{ v is float }}{{ v is boolean }}{{ v is mapping }}{{ v is iterable }}{{ v is sequence }}{{ v is none }}{{ v is true }}{{ v is callable }} {% endfor %}",
    "{{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq 1 }} {{ 1 is equalto(1) }} {{ 2 is gt 1 }} {{ 1 is lt(2) }} {{ 1 is ne 1 }} {{ 2 is ge 2 }} {{ 1 is le 0 }}",
    "{{ 1 is in [1] }} {{ 'a' is in('abc') }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ '1' is upper }} {{ 1 is sameas 1 }} {{ true is sameas true }} {{ 1 is sameas true }}",
    "{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }}",
    "{{ 1 is unknown_test }}", "{{ 'a' is odd }}", "{{ undefined_name is iterable }} {{ undefined_name is string }} {{ undefined_name is mapping }} {{ undefined_name is sequence }} {{ undefined_name is number }}",
    "{{ x is defined and x }} {{ not x is defined }} {{ 1 + 1 is number }} {{ 'yes' if 3 is odd else 'no' }} {{ x.y is defined }}",
    "{{ 'a'.upper is callable }} {{ range is callable }} {{ 'a' is callable }}", "{{ [1]|map('string') is sequence }} {{ [1]|map('string') is iterable }} {{ {}.items() is sequence }} {{ 'a' is escaped }}",
]

LOOKUP = [
    "{{ messages[0].role }} {{ messages[0]['role'] }} {{ messages[-1].n }} {{ messages[1].content[0] }} {{ messages[1].content[4] }} {{ messages[1].content[-1] }}",
    "{{ messages[9] }}| {{ messages[0].nope }}| {{ messages[0]['nope'] }}| {{ messages.nope }}| {{ 'abc'[10] }}|",
    "{{ messages[0].nope.deeper }}", "{{ nope.deeper }}", "{{ nope['x'] }}", "{{ messages[9].role }}", "{{ none.x }}|{{ 1 .x }}|{{ none['x'] }}|",
    "{{ none.x.y }}", "{{ {'items': 1}.items is callable }} {{ {'items': 1}['items'] }} {{ {'a': {'b': [1, 2]}}.a.b[1] }} {{ [1,2,3].0 }} {{ (1,2).1 }}",
    "{{ 'hello'[1:3] }} {{ 'hello'[:-1] }} {{ 'hello'[::-1] }} {{ 'hello'[::2] }} {{ 'hello'[-3:] }} {{ 'hello'[10:] }}| {{ 'Häll😀'[3:] }} {{ 'Häll😀'[::-1] }}",
    "{{ [1,2,3,4][1:] }} {{ [1,2,3,4][:2] }} {{ [1,2,3,4][::-1] }} {{ [1,2,3,4][-2:] }} {{ [1,2,3,4][3:0:-1] }} {{ (1,2,3)[1:] }} {{ range(10)[2:5]|list }} {{ range(10)[::-3]|list }}",
    "{{ messages[1:]|length }} {{ messages[:-1]|length }} {{ [1][none:] }} {{ [1,2,3][1:none] }} {{ [1,2,3,4,5][-100:100:2] }} {{ [1,2,3][100:-100:-1] }}",
    "{{ [1,2][0:2:0] }}", "{{ [1]['a'] }}|{{ [1]['a':] }}", "{{ {1: 'x'}[1] }} {{ {1: 'x'}[1.0] }} {{ {true: 'x'}[1] }} {{ {'1': 'x'}[1] }}|", "{{ [1,2][true] }} {{ {}[[]] }}|",
    "{{ 'abc'.nope }}|{{ 'abc'['upper']() }} {{ 'abc'.upper() }}", "{{ [].append(1) }}", "{{ {}.update({}) }}", "{{ messages[0].update is defined }}", "{{ ''.__class__ }}|", "{{ ''.__class__.__mro__ }}", "{{ messages[0].get('role') }} {{ messages[0].get('x') }} {{ messages[0].get('x', 'd') }} {{ messages[0].get }}"[:92],
    "{{ range(5)[2] }} {{ range(5)[-1] }} {{ range(5)[9] }}|{{ range(3)|length }} {{ range(2, 8, 3)|list }} {{ range(5, 0, -2)|list }} {{ range(0) }} {{ range(3) }}",
    "{{ range(1000000000) }}", "{{ range(1, 2, 0) }}", "{{ range() }}", "{{ range('a') }}", "{{ nope() }}", "{{ 'a'() }}", "{{ none() }}", "{{ messages[0].nope() }}", "{{ 'a'.nope() }}",
]

METHODS = [
    "{{ ' a b '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.strip('ab') }}|{{ '\\n\\t a\\u00a0\\u3000'.strip() }}|{{ 'aé'.rstrip('é') }}",
    "{{ 'a,b,c'.split(',') }} {{ 'a b  c '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ ' a  b  c '.split(maxsplit=1) }} {{ ''.split(',') }} {{ ''.split() }} {{ 'abc'.split('bc') }}",
    "{{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b  c '.rsplit(none, 1) }} {{ 'a b'.rsplit() }} {{ 'aXXbXXc'.rsplit('XX', 1) }} {{ '  a b'.split(none, 0) }} {{ 'a b  '.rsplit(none, 0) }} {{ 'aaa'.rsplit('aa') }}",
    "{{ 'x'.split('') }}", "{{ 'Hello'.startswith('He') }} {{ 'Hello'.endswith('lo') }} {{ 'Hello'.startswith(('x', 'H')) }} {{ 'Hello'.startswith('l', 2) }} {{ 'Hello'.endswith('l', 0, 4) }} {{ 'a'.startswith('') }} {{ 'a'.startswith('', 5) }}",
    "{{ 'hello wORLD'.upper() }} {{ 'HeLLo'.lower() }} {{ 'hello wORLD'.title() }} {{ 'hello WORLD'.capitalize() }} {{ 'Hello'.swapcase() }} {{ 'straße ÉÀ ǆ ﬁ'.upper() }} {{ 'ÀÉ İ ǅ'.lower() }} {{ 'ǆ ﬁx'.title() }} {{ \"they're bill's\".title() }}",
    "{{ 'a-b-c'.replace('-', '+') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }} {{ 'abc'.replace('b', '') }} {{ 'héé'.replace('', '.') }} {{ ''.replace('', 'x') }} {{ 'ab'.replace('', '-', 1) }}",
    "{{ 'hello'.find('l') }} {{ 'hello'.find('z') }} {{ 'hello'.rfind('l') }} {{ 'hello'.index('e') }} {{ 'hello'.count('l') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }} {{ 'é😀x'.find('x') }} {{ 'hello'.find('l', 3) }} {{ 'hello'.find('') }} {{ 'hello'.find('l', -1) }}",
    "{{ 'hello'.index('z') }}", "{{ ', '.join(['a', 'b']) }} {{ ''.join('abc') }} {{ '-'.join({'x': 1, 'y': 2}) }}", "{{ ','.join([1]) }}", "{{ ','.join(nope) }}", "{{ ','.join(none) }}",
    "{{ 'abc'.isalpha() }} {{ '123'.isdigit() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'ABC'.isupper() }} {{ 'abc'.islower() }} {{ ''.isalpha() }} {{ 'é'.isalpha() }} {{ '٣'.isdigit() }}",
    "{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }}",
    "{{ 'a\\nb\\r\\nc'.splitlines() }} {{ 'a\\nb\\n'.splitlines() }} {{ 'a\\nb\\n'.splitlines(true) }} {{ ''.splitlines() }}",
    "{{ 'a'.center(5) }}| {{ 'ab'.center(5) }}| {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3, '.') }} {{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'abc'.center(2) }} {{ 'a'.center(4, '*') }}",
    "{{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a}-{b}'.format(a=1, b=2) }} {{ '{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c') }} {{ '{:.2f} {:05d} {:,}'.format(3.14159, 42, 1234567) }} {{ '{{}}'.format() }} {{ '{!r}'.format('x') }} {{ '{:d}'.format(3) }} {{ '{}'.format(1.0) }}",
    "{{ '{}'.format() }}", "{{ '{'.format(1) }}", "{{ '{:d}'.format('a') }}",
    "{{ {'a': 1, 'b': 2}.items()|list }} {{ {'a': 1}.keys()|list }} {{ {'a': 1}.values()|list }} {{ {'a': 1}.items() }} {{ {'a': 1}.keys() }} {{ {}.get('a') }} {{ {'a':1}.copy() }}",
    "{{ [1,2,1].count(1) }} {{ [1,2].index(2) }} {{ (1,2).count(2) }}", "{{ [1].index(5) }}", "{{ 'a'.upper(1) }}", "{{ 'a'.strip(1) }}", "{{ 'a'.replace('b') }}", "{{ {}.get() }}",
]

FILTERS = [
    "{{ 'abc'|upper }} {{ 'ABC'|lower }} {{ 'hello wORLD-foo (bar'|title }} {{ 'hELLO'|capitalize }} {{ ' x '|trim }}| {{ 'xxaxx'|trim('x') }} {{ none|upper }} {{ 1|string }} {{ 12|trim }}",
    "{{ 'abc'|length }} {{ [1,2]|length }} {{ {'a':1}|count }} {{ 'é😀'|length }} {{ nope|length }} {{ range(7)|length }}", "{{ 1|length }}", "{{ none|length }}", "{{ [1]|map('string')|length }}",
    "{{ [1,2,3]|join }} {{ [1,2,3]|join(', ') }} {{ messages|join('-', attribute='role') }} {{ 'abc'|join('.') }} {{ [none, true, 1.5]|join('|') }} {{ {'a':1}|join }} {{ nope|join(',') }}|", "{{ none|join }}", "{{ 5|join }}",
    "{{ nope|default('d') }} {{ none|default('d') }} {{ none|default('d', true) }} {{ ''|d('e', boolean=true) }} {{ nope|d }}| {{ 0|default(1) }} {{ nope.x|default('d') }}", "{{ messages[0].nope|default('d') }} {{ messages[0]['x']|d('y') }}",
    "{{ [3,1,2]|first }} {{ [3,1,2]|last }} {{ []|first }}| {{ 'abc'|first }} {{ 'abc'|last }} {{ {'a':1}|first }} {{ {'a':1,'b':2}|last }} {{ range(3)|last }} {{ ['a']|map('upper')|first }}", "{{ none|first }}", "{{ [1]|map('string')|last }}",
    "{{ [3,1,2]|sort }} {{ ['b','A','c']|sort }} {{ ['b','A','c']|sort(case_sensitive=true) }} {{ [3,1,2]|sort(reverse=true) }} {{ messages[1:]|sort(attribute='n')|map(attribute='n')|list }} {{ 'cab'|sort }} {{ [[2,1],[1,2]]|sort }}", "{{ [1,'a']|sort }}", "{{ [none, 1]|sort }}",
    "{{ [1,2,3]|reverse|list }} {{ 'abc'|reverse }} {{ 'é😀'|reverse }} {{ [1,1,2]|unique|list }} {{ ['a','A','b']|unique|list }} {{ ['a','A']|unique(true)|list }} {{ messages|map(attribute='role')|unique|list }}",
    "{{ [1,2,3]|sum }} {{ [1,2]|sum(start=10) }} {{ messages[1:]|sum(attribute='n') }} {{ [1,2,3]|min }} {{ [1,2,3]|max }} {{ ['b','A']|min }} {{ []|max }}| {{ messages[1:]|max(attribute='n') }}", "{{ ['a']|sum }}",
    "{{ ['a','b']|map('upper')|list }} {{ messages|map(attribute='role')|list }} {{ messages|map(attribute='n', default=0)|list }} {{ ['1','2']|map('int')|sum }} {{ [' a ']|map('trim')|join }} {{ [[1,2],[3]]|map('first')|list }} {{ [1]|map('string') is string }}",
    "{{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|selectattr('n')|map(attribute='role')|list }} {{ messages|rejectattr('role', 'eq', 'system')|map(attribute='role')|join(',') }} {{ messages|selectattr('n', 'defined')|list|length }} {{ messages|selectattr('role', 'in', ['user', 'tool'])|list|length }}",
    "{{ [1,2,3,4]|select('odd')|list }} {{ [1,2,3,4]|reject('odd')|list }} {{ [0,1,'',none]|select|list }} {{ [0,1]|reject|list }} {{ [1,2,3]|select('gt', 1)|list }} {{ ['a', 1]|select('string')|list }} {{ [1,5]|select('in', [5])|list }}",
    "{{ [1]|map('nope')|list }}", "{{ [1]|select('nope')|list }}", "{{ [1]|map|list }}", "{{ 1|nope }}", "{% if false %}{{ 1|nope }}{% endif %}ok", "{% if true %}{{ 1|nope }}{% endif %}",
    "{% if messages|selectattr('role', 'equalto', 'nobody') %}truthy generator{% endif %} {% if messages|selectattr('role','equalto','x')|list %}y{% else %}n{% endif %} {% set g = [1,2]|map('string') %}{{ g|list }}{{ g|list }}",
    "{{ {'b':1,'a':2}|dictsort }} {{ {'b':1,'A':2}|dictsort(true) }} {{ {'b':1,'a':2}|dictsort(by='value') }} {{ {'b':1,'a':2}|dictsort(reverse=true) }} {{ {'a':1}|items|list }} {{ nope|items|list }} {{ {'a': 1}|list }} {{ 'abc'|list }}", "{{ [1]|dictsort }}", "{{ [1]|items|list }}",
    "{{ '42'|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ '0x1f'|int(base=16) }} {{ 3.9|int }} {{ none|int }} {{ ' 5 '|int }} {{ '-3'|int }} {{ true|int }} {{ '1_000'|int }} {{ '1e3'|int }} {{ ''|int(1) }} {{ []|int }}",
    "{{ '1.5'|float }} {{ 'x'|float }} {{ 'x'|float(2.5) }} {{ 3|float }} {{ '1e3'|float }} {{ none|float }} {{ ' 2 '|float }}", "{{ nope|int }}", "{{ nope|float }}",
    "{{ 42.55|round }} {{ 42.55|round(1) }} {{ 2.5|round }} {{ 3.5|round }} {{ 42|round }} {{ 42.1|round(0, 'ceil') }} {{ 42.9|round(method='floor') }} {{ 1.005|round(2) }} {{ 1234|round(-2) }} {{ 42.42|round(1, 'ceil') }} {{ -2.5|round }} {{ 1234.5|round(-2) }}", "{{ 1|round(0, 'x') }}", "{{ 'a'|round }}",
    "{{ 'a\\nb\\n\\nc'|indent }}| {{ 'a\\nb'|indent(2, true) }}| {{ 'a\\n\\nb'|indent(2, blank=true) }}| {{ 'a\\nb'|indent('>') }} {{ 'a\\n'|indent }}| {{ ''|indent }}| {{ 'a\\nb'|indent(width=3, first=true) }}",
    "{{ '<a href=\"x\">&\\'</a>'|escape }} {{ '<b>'|e }} {{ '<b>'|safe }} {{ '%s-%d'|format('a', 3) }} {{ '%(x)s'|format(x=1) }} {{ 'a'|center(5) }}| {{ 'hello big world'|wordcount }} {{ \"it's a-b\"|wordcount }}",
    "{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '..', 0) }} {{ 'short'|truncate(2, true, '') }}",
    "{{ [1,2,3,4,5]|batch(2)|list }} {{ [1,2,3]|batch(2, 'x')|list }} {{ [1,2,3,4,5]|slice(3)|list }} {{ [1,2,3,4]|slice(3, '-')|list }}",
    "{% for k, v in messages|groupby('role') %}{{ k }}={{ v|length }} {% endfor %}", "{{ 'a'|replace('a', 'b') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 123|replace(2, 'x') }} {{ 'aaa'|replace('a', 'b', count=1) }}",
    "{{ 'a b'|upper|replace(' ', '_')|lower ~ '!' }} {{ ('a' ~ 'b')|upper }} {{ 'a' ~ 'b'|upper }} {{ [1,2]|length + 1 }} {{ -1|string ~ 'x' }} {{ not [1]|length == 1 }}",
    "{{ 'a'|upper() }} {{ 'x'|default(default_value='y') }}", "{{ 'a'|trim(1, 2) }}", "{{ 'a'|replace('a') }}", "{{ 'a'|join(nope=1) }}", "{{ 1|abs(2) }}", "{{ nope|upper }}|{{ nope|trim }}|{{ nope|string }}|{{ nope|list }}|{{ nope|sort }}|{{ nope|tojson if false }}",
]

TOJSON = [
    "{{ {'a': 1, 'b': [1, 2.0, none, true], 'c': 'é\"\\\\\\n\\t<>&\\''}|tojson }} {{ []|tojson }} {{ {}|tojson }} {{ 'x'|tojson }} {{ none|tojson }} {{ (1, 2)|tojson }} {{ 1e16|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}",
    "{{ {'b': 1, 'a': [1, {'c': []}], 'd': {}}|tojson(indent=2) }}", "{{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ [1, {'a': 2}]|tojson(separators=(',', ':')) }} {{ 'é😀\\x7f'|tojson(ensure_ascii=true) }} {{ [1]|tojson(indent='--') }} {{ [1, 2]|tojson(indent=0) }}",
    "{{ messages|tojson }}", "{{ messages|tojson(indent=4) }}", "{{ nope|tojson }}", "{{ [nope]|tojson }}", "{{ range(3)|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ {'a': 1}.items()|tojson }}", "{{ '\\x01\\u2028\\u00a0'|tojson }} {{ 1.0|tojson }} {{ -0.0|tojson }} {{ 100|tojson }} {{ [true, false]|tojson }}", "{{ namespace()|tojson }}", "{{ {'a': [[], {}]}|tojson(indent=1, separators=(', ', ' : ')) }}",
]

STATEMENTS = [
    "{% set x = 1 %}{{ x }}{% set x, y = 2, 3 %}{{ x }}{{ y }}{% set (a, b) = [4, 5] %}{{ a }}{{ b }}", "{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]", "{% set x | upper | trim %} block {% endset %}[{{ x }}]", "{% set x, y = 1 %}", "{% set x, y = [1,2,3] %}",
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}{% if none %}d{% else %}e{% endif %}{% if '' %}f{% elif [] %}g{% endif %}{% if x is defined and x %}h{% endif %}", "{% if true: %}a{% endif %}", "{% if 1, 2 %}t{% endif %}",
    "{% for i in [1,2,3] %}{{ i }}{% if not loop.last %},{% endif %}{% endfor %} {% for i in [] %}x{% else %}empty{% endfor %} {% for a, b in [[1,2],[3,4]] %}{{ a }}-{{ b }};{% endfor %} {% for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %}",
    "{% for i in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in [1,2,3] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}{% for i in 'aab' %}{{ loop.changed(i) }}{% endfor %}{% for i in range(4) %}{{ loop.cycle('x', 'y') }}{% endfor %}",
    "{% for i in range(6) if i is even %}{{ loop.index }}:{{ i }} {% endfor %}{% for m in messages if m.role != 'system' %}{{ m.role }}{{ loop.length }}{% else %}none{% endfor %}{% for m in messages if false %}x{% else %}none{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% break %}", "{% for i in [1,2] %}{% for j in [1,2] %}{{ loop.index }}{% if j == 1 %}{% break %}{% endif %}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% set x = 0 %}{% for i in [1,2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(x=0, y='a') %}{% for i in [1,2,3] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}|{{ ns['x'] }}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}", "{% set x.y = 1 %}", "{% set x = 1 %}{% set x.y = 1 %}", "{% set d = {} %}{% set d.y = 1 %}",
    "{% if true %}{% set x = 5 %}{% endif %}{{ x }}", "{% for i in [1] %}{% set y = 1 %}{% endfor %}{{ y is defined }}", "{% for i in none %}{% endfor %}", "{% for i in 5 %}{% endfor %}", "{% for i in nope %}x{% else %}none{% endfor %}", "{% for i in 'Hé😀' %}{{ i }}.{% endfor %}", "{% for k in {'a':1,'b':2} %}{{ k }}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}",
    "{% macro m(a, b='x', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(a=1, c=3) }}{{ m() }}{{ m(1) ~ 'z' }}{{ m(1)|upper }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a) %}{% if a > 0 %}{{ a }}{{ m(a - 1) }}{% endif %}{% endmacro %}{{ m(5) }}", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m(x) %}<{{ caller(x, 2) }}>{% endmacro %}{% call(a, b) m(1) %}{{ a }}+{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}", "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}", "{% macro m() %}{% set q = 1 %}{{ q }}{% endmacro %}{{ m() }}{{ q is defined }}", "{% for i in [1,2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(x) %}{{ x }}{% endmacro %}{{ [1,2]|map('string')|map('upper')|list }}{{ m is callable }}{{ m(*[3]) }}{{ m(**{'x': 4}) }}",
    "{% filter upper %}abc {{ 'd' }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}abc{% endfilter %}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set z = 1 %}{% endwith %}{{ z is defined }}", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% raw %}{{ x }}{% if %}{% endraw %}", "a {%- raw -%} {{ x }} {%- endraw -%} b", "{# comment {{ x }} #}a{#- b -#} c", "{% generation %}text {{ 1 }}{% endgeneration %}", "{% block b %}in{% endblock %}", "{% block b %}in{% endblock b %}", "{% print 1, 2 %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}", "{% set j = joiner('|') %}{% for i in [1,2,3] %}{{ j() }}{{ i }}{% endfor %}", "{{ dict(a=1, b=2) }} {{ dict([['x', 1]]) }} {{ dict({'a': 1}, b=2) }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %Y %B %A %a %j %y %I %p %%') }}", "{{ strftime_now('%-d %e %F %T %m') }}",
    "{{ raise_exception('my message') }}", "{% if messages|length > 0 %}{{ raise_exception('Need ' ~ messages|length ~ ' fewer') }}{% endif %}", "{{ raise_exception() }}", "{{ loop }}|{{ namespace }}"[:10], "{% set loop_messages = messages[1:] %}{% for m in loop_messages %}{{ m.content }}{% endfor %}", "{{ caller }}|", "{% for i in range(2) %}{{ loop.nope }}|{% endfor %}", "{% for x in [1,2,3]|reverse %}{{ x }}{{ loop.length }}{% endfor %}",
    "{% for m in messages %}{% for m2 in messages[loop.index:] %}{{ m2.role[0] }}{% endfor %}{{ loop.index0 }};{% endfor %}", "{% set x = [1] %}{% set x = x + [2] %}{{ x }}", "{% set ns = namespace(l=[]) %}{% for i in range(3) %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}", "{% set a = b = 1 %}", "{% set true = 1 %}",
    "{% for i in range(3) %}{% set y %}{{ i }}{{ loop.index }}{% endset %}{{ y }}{% endfor %}", "{% for i in [3] %}{% filter upper %}a{{ i }}{{ loop.last }}{% endfilter %}{% endfor %}", "{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% for i in [1,2] %}{% with x = i %}{{ x }}{{ loop.index }}{% endwith %}{% endfor %}", "{% for i in [[1,[2,3]]] %}{{ i }}{% endfor %}{% for a, (b, c) in [[1,[2,3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% if messages %}yes{% endif %}{% if not tools %}no{% endif %}{{ tools }}",
]

WHITESPACE = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}  \nb\n  {% endif %}  \nc", "  {%- if true -%}  \n x \n {%- endif -%}  y", "a {{- ' b ' -}} c", "a\n\n{%- if true %}\n\nb{%- endif %}\n\n", "a\n {%+ if true %}b{% endif %}\n", "a\n{% if true +%}\nb{% endif %}\n", "{% set x = 1 %}\n{% set y = 2 %}\n\n{{ x }}\n{{ y }}\n\n", "a\r\nb\rc\r\n", "{# c #}\na\n  {# c #}\nb {# c #} d\n{#- c -#}\n e", "x{{ 1 }}\n{{ 2 }}\n", "\n\n{% if true %}\n\nx{% endif %}\n\n", "  {{ 1 }}  \n  {{ 2 }}", "a\n\t{% if true %}\tb{% endif %}\n", "a \u00a0{%- if true %}b{% endif %}", "{{ 1 -}}\n\n  x", "{{+ 1 }}", "{{ '}}' }}{{ '%}' }}{{ {'a': {'b': 1}} }}", "{%if true%}x{%endif%}{{1}}{{'a'}}", "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\nend\n", "{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}\nend\n", "{ { % } } {", "a{", "#}", "%}", "}}", "{", "", "\n", "a\n\n", "{% raw %}\n a\n {% endraw %}\n b", "x\n  {% raw %}y{% endraw %}z", "{#+ c +#}\nx", "{%- set x = 1 -%}\n\n {{- x }}\n", "a\n   {%- if true %} b{% endif %}\n   {% if true %}   {% endif %}c", "a\u2028{%- if true %}b{% endif %}", "{{ 1 }}{% if true %}\n{% endif %}\n\nx",
]

SYNTAX_ERRORS = [
    "{{", "{{ 1", "{% if %}{% endif %}", "{% if true %}", "{% endif %}", "{% for %}{% endfor %}", "{% for x in %}{% endfor %}", "{% for x on y %}{% endfor %}", "{{ 1 + }}", "{{ (1 }}", "{{ [1 }}", "{{ {1: } }}", "{{ 'abc }}", "{# abc", "{% raw %}abc", "{% unknown %}", "{{ a b }}", "{{ a..b }}", "{{ a. }}", "{{ 1 2 }}", "{{ }}", "{% %}", "{% set %}", "{% set x %}", "{% macro %}{% endmacro %}", "{% macro m( %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{{ f(a=1, 2) }}", "{{ f(**a, b) }}", "{% else %}", "{% if true %}{% endfor %}", "{{ a | }}", "{{ a is }}", "{{ a is b is c }}", "{{ a[ }}", "{{ ) }}", "{{ a } }}", "{{ @ }}", "{{ a ! b }}", "{{ a ? b : c }}", "{{ a && b }}", "{% for i in [1] %}", "{% set 1 = 2 %}", "{% set 'a' = 2 %}", "{% call m %}{% endcall %}", "{% call 1 %}{% endcall %}", "{% filter nope %}x{% endfilter %}", "{{ a if }}", "{{ a not b }}", "{{ '\\u12' }}", "{% endset %}", "{% if true %}a{% else %}b{% else %}c{% endif %}", "{{ a b", "{% continue %}", "{{ x = 1 }}", "{{ not }}", "{{ a in }}", "{{ ** }}", "{{ 1 if 2 else }}",
]

EXPRESSIONS = [
    ({}, LITERALS), ({}, ARITHMETIC), ({}, COMPARE), ({}, TESTS), ({"messages": MESSAGES}, LOOKUP),
    ({"messages": MESSAGES}, METHODS), ({"messages": MESSAGES}, FILTERS), ({"messages": MESSAGES}, TOJSON),
    ({"messages": MESSAGES}, STATEMENTS), ({}, WHITESPACE), ({}, SYNTAX_ERRORS),
]
