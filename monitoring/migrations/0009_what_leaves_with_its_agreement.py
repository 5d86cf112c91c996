"""The change feed hears of provisions and terms that leave, or come, with their agreement, whose tier is theirs."""

from django.db import migrations

TELL = """
CREATE FUNCTION monitoring_provision_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_tombstone (kind, object_id, tier_before, left_at, changed_xid)
    SELECT 'monitoring_provision', OLD.id, agreement.tier, now(), pg_current_xact_id()::text::bigint
    FROM monitoring_agreement AS agreement WHERE agreement.id = OLD.agreement_id;
    RETURN NULL;
END $$;
CREATE TRIGGER left_its_agreement AFTER DELETE ON monitoring_provision
    FOR EACH ROW EXECUTE FUNCTION monitoring_provision_left();

CREATE FUNCTION monitoring_term_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_tombstone (kind, object_id, tier_before, left_at, changed_xid)
    SELECT 'monitoring_provisionterm', OLD.id, agreement.tier, now(), pg_current_xact_id()::text::bigint
    FROM monitoring_provision AS provision
    JOIN monitoring_agreement AS agreement ON agreement.id = provision.agreement_id
    WHERE provision.id = OLD.provision_id;
    RETURN NULL;
END $$;
CREATE TRIGGER left_its_agreement AFTER DELETE ON monitoring_provisionterm
    FOR EACH ROW EXECUTE FUNCTION monitoring_term_left();

CREATE FUNCTION monitoring_agreement_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tier > OLD.tier THEN
        INSERT INTO coalition_tombstone (kind, object_id, tier_before, left_at, changed_xid)
        SELECT 'monitoring_provision', provision.id, OLD.tier, now(), pg_current_xact_id()::text::bigint
        FROM monitoring_provision AS provision WHERE provision.agreement_id = NEW.id
        UNION ALL
        SELECT 'monitoring_provisionterm', term.id, OLD.tier, now(), pg_current_xact_id()::text::bigint
        FROM monitoring_provisionterm AS term
        JOIN monitoring_provision AS provision ON provision.id = term.provision_id
        WHERE provision.agreement_id = NEW.id;
    ELSE  -- who sees them from now on has not heard of them
        UPDATE monitoring_provision SET changed_at = now() WHERE agreement_id = NEW.id;
        UPDATE monitoring_provisionterm AS term SET changed_at = now()
        FROM monitoring_provision AS provision
        WHERE provision.id = term.provision_id AND provision.agreement_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER moved_with_all AFTER UPDATE OF tier ON monitoring_agreement
    FOR EACH ROW WHEN (NEW.tier <> OLD.tier) EXECUTE FUNCTION monitoring_agreement_moved();
"""
DROP = """
DROP TRIGGER left_its_agreement ON monitoring_provision;
DROP TRIGGER left_its_agreement ON monitoring_provisionterm;
DROP TRIGGER moved_with_all ON monitoring_agreement;
DROP FUNCTION monitoring_provision_left();
DROP FUNCTION monitoring_term_left();
DROP FUNCTION monitoring_agreement_moved();
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0008_on_no_map"), ("coalition", "0003_tombstones")]

    operations = [migrations.RunSQL(TELL, DROP)]
