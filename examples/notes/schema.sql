-- Runs at each start, as the owner of the tables. The service works as notes_app, which owns nothing: row-level security
-- does not hold for superusers, and for owners only where it is forced.
do $$ begin
  if not exists (select from pg_roles where rolname = 'notes_app') then
    create role notes_app nologin;
  end if;
end $$;
grant notes_app to current_user;

create table if not exists notes (
  id uuid primary key default gen_random_uuid(),
  tenant text not null default current_setting('app.tenant', true) check (tenant <> ''),
  author text not null,
  text text not null
);

create table if not exists reports (
  id uuid primary key default gen_random_uuid(),
  tenant text not null default current_setting('app.tenant', true) check (tenant <> ''),
  state text not null default 'queued',
  notes int,
  words int
);

alter table notes enable row level security;
alter table notes force row level security;
alter table reports enable row level security;
alter table reports force row level security;

-- Without a tenant the setting is null, or '' on a connection that had one before: no row has either.
drop policy if exists own_rows on notes;
create policy own_rows on notes using (tenant = current_setting('app.tenant', true));
drop policy if exists own_rows on reports;
create policy own_rows on reports using (tenant = current_setting('app.tenant', true));

grant select, insert, update on notes, reports to notes_app;
